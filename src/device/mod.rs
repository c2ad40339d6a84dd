/// The environment variable in which `enrol` looks for the site's password.
pub const PASSWORD_VARIABLE: &str = "OUTPOST_PASSWORD";

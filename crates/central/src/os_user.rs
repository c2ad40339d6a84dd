//! Users of this machine: their ids, and the names that people know them by.

use std::io::Read as _;

/// Most bytes of the list of users that are read: some ten thousand users.
const LIST_BYTES_MAX: u64 = 1024 * 1024;

/// The id of the user who runs this program.
pub fn own_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The name of a user; `uid:NUMBER` for one that `/etc/passwd` does not have.
pub fn name_of(uid: u32) -> String {
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        std::fs::File::open("/etc/passwd")?.take(LIST_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    // A name that cannot be looked up is shown as its number.
    find(&read().unwrap_or_default(), uid).unwrap_or_else(|| format!("uid:{uid}"))
}

fn find(list: &str, uid: u32) -> Option<String> {
    let name_in = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    list.lines().find_map(name_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_of_the_list_and_one_that_it_lacks_has_a_number() {
        let list = "root:x:0:0:root:/root:/bin/sh\nbroken\n::5:\nann:x:1000:1000::/home/ann:\n";

        assert_eq!((find(list, 0), find(list, 1000)), (Some("root".to_owned()), Some("ann".to_owned())));
        assert_eq!((find(list, 5), find(list, 7)), (None, None));
        assert_eq!(name_of(u32::MAX), format!("uid:{}", u32::MAX));
    }
}

mod answers;
mod enrolling;
mod exchanging;
mod server;

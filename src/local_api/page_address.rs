//! The address under which a person opens the status page. The token stands behind `#`, which a browser keeps to itself and to the page.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::access::AccessError;
use crate::config::Config;
use crate::data_folder::Layout;
use crate::durable_file;
use crate::error::AgentError;
use crate::exit::Exit;

/// Largest token file, in bytes, that is looked at.
const TOKEN_FILE_BYTES_MAX: usize = 128;
/// Where Linux lists what listens, with the user of each.
const LISTENERS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state of a listener in these lists.
const LISTENS: &str = "0A";
/// Starts, then tells the page.
const START: &str = "Start the agent (`outpost run`, or `outpost service start`), then repeat.";

/// The address of the status page with the token. Only given out while the agent itself listens there: a page of another program that
/// has the port would be told the token.
///
/// # Errors
/// `page_not_served` without `listen` under `[local_api]`, `no_daemon`, `page_not_listening`, `page_port_taken`; those of the token's
/// file.
pub fn page_address(config: &Config, is_running: bool) -> Result<Zeroizing<String>, AgentError> {
    let address = config.local_api_listen.ok_or_else(|| {
        AgentError::new(
            "page_not_served",
            "the agent listens at no address that a browser could open",
            "Set listen = \"127.0.0.1:8787\" under [local_api] in the settings, and start the agent again.",
            Exit::Config,
        )
    })?;
    if !is_running {
        return Err(AgentError::new("no_daemon", "the agent does not run", START, Exit::Failed));
    }
    let lists = LISTENERS.map(|path| std::fs::read_to_string(path).unwrap_or_default());
    if let Some(users) = users_of(address, &lists) {
        check_user(address, &users, &config.socket_path)?;
    }
    let file = Layout::of(&config.data_folder).token();
    let Some(bytes) = durable_file::read_private(&file, TOKEN_FILE_BYTES_MAX).map_err(AccessError::from)? else {
        return Err(AgentError::new(
            "page_not_listening",
            format!("the agent has made no token yet: {} is not there", file.display()),
            "Settings of [local_api] count when the agent starts: start it again, then repeat.",
            Exit::Failed,
        ));
    };
    let bytes = Zeroizing::new(bytes);
    let token = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(AccessError::TokenFile { path: file.display().to_string() }.into());
    }
    Ok(Zeroizing::new(format!("http://{address}/#token={token}")))
}

fn check_user(address: SocketAddr, users: &[u32], socket: &Path) -> Result<(), AgentError> {
    let agent = std::fs::metadata(socket).ok().map(|metadata| metadata.uid());
    match users {
        [] => Err(AgentError::new(
            "page_not_listening",
            format!("the agent does not listen at {address}"),
            "Settings of [local_api] count when the agent starts: start it again, then repeat.",
            Exit::Failed,
        )),
        users if users.iter().all(|user| Some(*user) == agent) => Ok(()),
        _ => Err(AgentError::new(
            "page_port_taken",
            format!("another program listens at {address}"),
            "Choose another port for listen under [local_api], and start the agent again.",
            Exit::Failed,
        )),
    }
}

/// The users of what listens at an address, by the system's lists; `None` where there are none.
fn users_of(address: SocketAddr, lists: &[String; 2]) -> Option<Vec<u32>> {
    let [of_4, of_6] = lists;
    if of_4.is_empty() && of_6.is_empty() {
        return None;
    }
    let port = format!(":{:04X}", address.port());
    let word = |bytes: &[u8]| {
        bytes.try_into().map(u32::from_ne_bytes).map_or_else(|_| String::new(), |word| format!("{word:08X}"))
    };
    let (list, own) = match address {
        SocketAddr::V4(address) => (of_4, word(&address.ip().octets())),
        SocketAddr::V6(address) => (of_6, address.ip().octets().chunks(4).map(word).collect::<String>()),
    };
    let is_any = |host: &str| host.bytes().all(|byte| byte == b'0');
    let listening = |list: &str, is_meant: &dyn Fn(&str) -> bool| -> Vec<u32> {
        let of_line = |line: &str| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let host = fields.next()?.strip_suffix(&port)?;
            let state = fields.nth(1)?;
            let user = fields.nth(3)?.parse().ok()?;
            (state == LISTENS && is_meant(host)).then_some(user)
        };
        list.lines().filter_map(of_line).collect()
    };
    let exact = listening(list, &|host| host == own);
    if !exact.is_empty() {
        return Some(exact);
    }
    // One that listens at every address has this one too.
    Some([of_4, of_6].into_iter().flat_map(|list| listening(list, &is_any)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2253 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2254 00000000:0000 01 00000000:00000000 00:00000000 00000000  1000        0 1 1 0000000000000000 100 0 0 10 0
   2: 00000000:2255 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 1 1 0000000000000000 100 0 0 10 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_user_of_a_listener_is_read_from_the_system_s_list() {
        let users = |address: &str| users_of(address.parse().unwrap(), &[LIST.to_owned(), String::new()]);

        assert_eq!(users("127.0.0.1:8787"), Some(vec![1000]));
        assert_eq!(users("127.0.0.1:8788"), Some(vec![]), "connected, and listens no more");
        assert_eq!(users("127.0.0.1:8789"), Some(vec![33]), "at every address");
        assert_eq!(users_of("127.0.0.1:1".parse().unwrap(), &Default::default()), None);
    }

    #[test]
    fn a_listener_of_this_test_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let lists = LISTENERS.map(|path| std::fs::read_to_string(path).unwrap_or_default());

        let users = users_of(listener.local_addr().unwrap(), &lists);

        assert!(users.is_none_or(|users| users == [rustix::process::geteuid().as_raw()]));
    }

    #[test]
    fn the_address_is_given_only_where_the_agent_itself_listens() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, format!("[local_api]\nlisten = \"{address}\"\n")).unwrap();
        let sources =
            Sources { config_file: Some(file), data_folder: Some(folder.path().to_owned()), ..Sources::default() };
        let mut config = Config::load(&sources).unwrap();
        let code = |config: &Config, is_running| page_address(config, is_running).unwrap_err().code;
        assert_eq!(code(&config, false), "no_daemon");
        // There is no socket, so what listens is not the agent.
        assert_eq!(code(&config, true), "page_port_taken");
        std::fs::write(&config.socket_path, "").unwrap();
        assert_eq!(code(&config, true), "page_not_listening");

        let token = "ab".repeat(32);
        durable_file::replace_private(&folder.path().join("agent.token"), token.as_bytes()).unwrap();
        assert_eq!(*page_address(&config, true).unwrap(), format!("http://{address}/#token={token}"));

        drop(listener);
        assert_eq!(code(&config, true), "page_not_listening");
        config.local_api_listen = None;
        assert_eq!(code(&config, true), "page_not_served");
    }
}

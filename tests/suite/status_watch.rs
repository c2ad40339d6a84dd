//! `status --watch` beside a daemon that comes and goes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::{DEADLINE, not_run, wait_until};
use crate::sync::central_with_sites;

struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Ends with the command's output, or with whoever reads here.
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("another line")
    }

    /// Reads on until a line is as it should be.
    fn until(&self, is_so: impl Fn(&Value) -> bool) {
        while !is_so(&serde_json::from_str(&self.line()).unwrap()) {}
    }

    /// Ends it, and says which signal it died of. Not by an interrupt, which a shell without a terminal has its background commands ignore.
    fn terminate(mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
        let mut status = None;
        wait_until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.signal())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn edit(store: &str, id: &str) -> String {
    json!({"table": "item_line", "op": "upsert", "id": id, "data": {"ID": id, "store_ID": store}}).to_string()
}

#[test]
fn each_change_comes_as_a_line_also_over_a_restart_until_it_is_ended() {
    let (central, data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    let watching = Watching::of(agent.command(&["status", "--watch", "--json"]));
    watching.until(|status| status["daemon"] == false);

    // It does not keep the folder: a daemon can start beside it.
    agent.start();
    watching.until(|status| status["daemon"] == true && status["pending"]["edits"] == 0);
    agent.record(&edit(&data.stores[0], "A"));
    watching.until(|status| status["pending"]["edits"] == 1);
    agent.ok(&["sync"]);
    watching.until(|status| status["pending"]["edits"] == 0 && status["last_drained_ms"].is_number());
    agent.kill();
    watching.until(|status| status["daemon"] == false);
    agent.start();
    watching.until(|status| status["daemon"] == true);
    agent.signal("TERM");
    assert_eq!(agent.wait(), 0);
    watching.until(|status| status["daemon"] == false);

    assert_eq!(watching.terminate(), Some(15));
}

#[test]
fn on_a_terminal_it_is_drawn_anew_and_without_one_it_is_plain() {
    let (central, _data) = central_with_sites(5, &["north"]);
    let mut agent = Agent::initialised(&central, "north");
    agent.start();

    let plain = Watching::of(agent.command(&["status", "--watch"]));
    let line = plain.line();
    assert!(line.starts_with("site          north"), "{line:?}");

    // `script` gives it a terminal.
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        not_run("there is no script(1) to give a command a terminal");
        return;
    }
    let inner = agent.command(&["status", "--watch"]);
    let words: Vec<String> = std::iter::once(inner.get_program())
        .chain(inner.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qfec", &words.join(" "), "/dev/null"]).stdin(Stdio::null());
    let drawn = Watching::of(script);
    let mut line = drawn.line();
    while !line.contains("north") {
        line = drawn.line();
    }
    assert!(line.starts_with("\u{1b}[H\u{1b}[J"), "{line:?}");
}

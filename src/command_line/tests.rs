use super::verbs::VERBS;
use super::*;
use crate::error::Explained as _;
use crate::exit::Exit;
use crate::service::InitSystem;

fn parsed(line: &str) -> Result<Invocation, UsageError> {
    parse(line.split_whitespace().map(OsString::from))
}

fn command_of(line: &str) -> Command {
    parsed(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

fn record_id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

#[test]
fn a_file_of_settings_to_check_takes_the_place_of_the_usual_one() {
    let named = |line: &str| parsed(line).map(|invocation| invocation.global.config_file);

    assert_eq!(named("config check other.toml"), Ok(Some(PathBuf::from("other.toml"))));
    assert_eq!(named("config check"), Ok(None));
    assert_eq!(named("config check --config a.toml b.toml").unwrap_err().code(), "usage_options_together");
    for line in [
        "config",
        "config list",
        "config show x",
        "client",
        "client add",
        "client drop x",
        "completions tcsh",
        "bugreport",
    ] {
        assert_eq!(parsed(line).unwrap_err().exit(), Exit::Usage, "{line}");
    }
}

#[test]
fn each_verb_is_understood() {
    let edit = |op, data: Option<&str>| Edit {
        table: "unit".to_owned(),
        op,
        id: record_id("4F"),
        data: data.map(str::to_owned),
    };
    let one = |op, data| Command::Record(Record::One { edit: edit(op, data), request_id: None });
    let lines = |source, mode| Command::Record(Record::Lines { source, mode });
    let file = || LineSource::File(PathBuf::from("edits"));
    for (line, expected) in [
        (
            "enrol --central https://c --name Clinic --password-file -",
            Command::Enrol {
                central: Some("https://c".to_owned()),
                name: Some("Clinic".to_owned()),
                password: Some(PasswordSource::StandardInput),
            },
        ),
        (
            "enrol --password-file=secret",
            Command::Enrol { central: None, name: None, password: Some(PasswordSource::File(PathBuf::from("secret"))) },
        ),
        ("initialise", Command::Initialise { wait_s: None }),
        ("client add dispensary", Command::Client(ClientAction::Add { name: "dispensary".to_owned() })),
        ("client list", Command::Client(ClientAction::List)),
        ("client revoke dispensary", Command::Client(ClientAction::Revoke { name: "dispensary".to_owned() })),
        ("client certificate", Command::Client(ClientAction::Certificate)),
        ("config check", Command::Config(ConfigAction::Check)),
        ("config check other.toml", Command::Config(ConfigAction::Check)),
        ("config show", Command::Config(ConfigAction::Show)),
        ("log", Command::Log { lines: LOG_LINES, is_followed: false }),
        ("log --lines 7 --follow", Command::Log { lines: 7, is_followed: true }),
        ("completions fish", Command::Completions { shell: Shell::Fish }),
        ("bugreport report.txt", Command::BugReport { file: PathBuf::from("report.txt") }),
        (
            "service install --manager runit --root /pkg --data /srv/x --user clinic --program /opt/outpost --print",
            Command::Service {
                action: ServiceAction::Install,
                wanted: ServiceWanted {
                    init: Some(InitSystem::Runit),
                    root: Some(PathBuf::from("/pkg")),
                    program: Some(PathBuf::from("/opt/outpost")),
                    user: Some("clinic".to_owned()),
                    data_folder: Some(PathBuf::from("/srv/x")),
                },
                is_printed: true,
            },
        ),
        (
            "service status",
            Command::Service { action: ServiceAction::Status, wanted: ServiceWanted::default(), is_printed: false },
        ),
        ("recover", Command::Recover(Recover::default())),
        (
            "backup stick --passphrase-file -",
            Command::Backup { file: PathBuf::from("stick"), passphrase: Some(PasswordSource::StandardInput) },
        ),
        (
            "restore --dry-run stick",
            Command::ByFile(ByFile {
                action: FileAction::Restore { is_dry_run: true },
                file: PathBuf::from("stick"),
                passphrase: None,
            }),
        ),
        (
            "recover --yes --journal-anew --name Clinic --password-file secret",
            Command::Recover(Recover {
                name: Some("Clinic".to_owned()),
                password: Some(PasswordSource::File(PathBuf::from("secret"))),
                is_journaled_anew: true,
                is_confirmed: true,
            }),
        ),
        (
            &format!("re-pin {}: {}", "0A:".repeat(16), "0a".repeat(16)),
            Command::RePin { fingerprint: Fingerprint::parse(&"0a".repeat(32)).unwrap() },
        ),
        ("record unit 4F {}", one(EditOp::Upsert, Some("{}"))),
        ("record --put unit 4F {}", one(EditOp::Put, Some("{}"))),
        ("record unit 4F --patch {}", one(EditOp::Patch, Some("{}"))),
        ("delete unit 4F", one(EditOp::Delete, None)),
        (
            "delete unit 4F --request-id r1",
            Command::Record(Record::One { edit: edit(EditOp::Delete, None), request_id: Some("r1".to_owned()) }),
        ),
        ("record --file edits", lines(file(), LineMode::AllOrNone)),
        ("record --file - --continue", lines(LineSource::StandardInput, LineMode::GoodOnes)),
        (
            "record --file edits --group --request-id r1",
            lines(file(), LineMode::OneGroup { request_id: Some("r1".to_owned()) }),
        ),
        ("get unit 4F", Command::Get { table: "unit".to_owned(), id: record_id("4F") }),
        (
            "list unit --store S --merged --after 4F --limit 7",
            Command::List {
                table: "unit".to_owned(),
                store: Some(record_id("S")),
                is_with_merged: true,
                after: Some(record_id("4F")),
                limit: 7,
            },
        ),
        ("sync --wait 60", Command::Sync { wait_s: Some(60) }),
        ("run", Command::Run),
        ("status", Command::Status { is_watched: false }),
        ("site", Command::Site),
        ("queue", Command::Queue { limit: LIST_LIMIT }),
        ("set-aside list --limit 3", Command::SetAside(SetAside::List { limit: 3 })),
        ("set-aside show 12", Command::SetAside(SetAside::Show { number: 12 })),
        ("set-aside retry 12", Command::SetAside(SetAside::Retry { numbers: vec![12] })),
        ("set-aside retry 12 3", Command::SetAside(SetAside::Retry { numbers: vec![12, 3] })),
        ("set-aside retry --all", Command::SetAside(SetAside::Retry { numbers: Vec::new() })),
        ("set-aside dismiss 12 3", Command::SetAside(SetAside::Dismiss { numbers: vec![12, 3] })),
        (
            "set-aside dismiss --all --exported-to f",
            Command::SetAside(SetAside::DismissAll { exported_to: PathBuf::from("f") }),
        ),
        ("set-aside export -", Command::SetAside(SetAside::Export { file: None })),
        ("set-aside export f", Command::SetAside(SetAside::Export { file: Some(PathBuf::from("f")) })),
        ("version", Command::Version),
        ("--version", Command::Version),
        ("help", Command::Help { verb: None }),
        ("-h", Command::Help { verb: None }),
        ("help sync", Command::Help { verb: Some("sync") }),
        ("get --help", Command::Help { verb: Some("get") }),
    ] {
        assert_eq!(command_of(line), expected, "{line}");
    }
}

#[test]
fn options_of_every_verb_stand_before_or_after_it() {
    let expected = Global {
        config_file: Some(PathBuf::from("c")),
        data_folder: Some(PathBuf::from("d")),
        is_json: true,
        verbosity: 2,
    };

    for line in ["--config c --data d --json -vv status", "status -v --json --data=d --config=c -v"] {
        assert_eq!(
            parsed(line).unwrap(),
            Invocation { global: expected.clone(), command: Command::Status { is_watched: false } }
        );
    }
}

#[test]
fn what_is_not_understood_whole_is_an_error_with_the_nearest_word() {
    for (line, expected) in [
        ("", "say what to do, as in `outpost status`"),
        ("statsu", "there is no verb \"statsu\"; did you mean status?"),
        ("frobnicate", "there is no verb \"frobnicate\""),
        ("help snyc", "there is no verb \"snyc\"; did you mean sync?"),
        ("sync --wiat 5", "`outpost sync` takes no option --wiat; did you mean --wait?"),
        ("sync -x", "`outpost sync` takes no option -x"),
        ("--wait 5 sync", "there is no option --wait for every verb; options of a verb follow it"),
        ("sync --wait", "the option --wait needs a value behind it"),
        ("sync --wait 0", "wait is \"0\"; it must be a whole number from 1 to 604800"),
        ("sync --wait 1 --wait 2", "the option --wait is given twice"),
        ("status --json=yes", "the option --json takes no value"),
        ("status now", "`outpost status` does not know what to do with \"now\""),
        ("get unit", "`outpost get` needs ID"),
        ("record", "`outpost record` needs TABLE ID JSON, or --file FILE"),
        ("record unit 4F", "`outpost record` needs JSON behind TABLE and ID"),
        ("record unit 4F {} --put --patch", "--put and --patch exclude each other"),
        ("record unit 4F {} --group", "--group and --continue are for --file"),
        ("record --file f unit", "`outpost record` does not know what to do with \"unit\""),
        ("record --file f --group --continue", "--group and --continue exclude each other: a group is accepted whole"),
        (
            "record --file f --request-id r",
            "--request-id with --file needs --group; without it each line has an id of its own",
        ),
        ("set-aside", "`outpost set-aside` needs list, show, retry, export or dismiss"),
        (
            "set-aside shwo",
            "the word behind set-aside is \"shwo\"; it must be list, show, retry, export, dismiss; show?",
        ),
        ("set-aside show x", "NUMBER is \"x\"; it must be a whole number from 1 to 18446744073709551615"),
        ("set-aside show 1 --limit 2", "--limit is for `set-aside list` alone"),
        ("set-aside show 1 --all", "--all is for `set-aside retry` and `set-aside dismiss`"),
        ("set-aside dismiss", "`outpost set-aside` needs NUMBER, as `set-aside list` prints it"),
        ("set-aside dismiss 1 x", "NUMBER is \"x\"; it must be a whole number from 1 to 18446744073709551615"),
        ("set-aside retry 1 --all", "`outpost set-aside` does not know what to do with \"1\""),
        ("set-aside dismiss --all", "--all of `dismiss` needs --exported-to FILE, which `set-aside export FILE` wrote"),
        ("set-aside dismiss 1 --exported-to f", "--exported-to belongs to `set-aside dismiss --all`"),
        ("set-aside retry --all --exported-to f", "--exported-to belongs to `set-aside dismiss --all`"),
    ] {
        let error = parsed(line).unwrap_err();
        assert_eq!(error.to_string(), expected, "{line}");
        assert_eq!(error.exit(), Exit::Usage);
    }
}

#[test]
fn an_id_that_is_empty_or_too_long_is_refused_with_its_limit() {
    for (words, expected) in [
        (vec!["record", "unit", "", "{}"], "ID is \"\"; it must be a record id of 1 to 64 bytes, and has 0".to_owned()),
        (
            vec!["list", "unit", "--store="],
            "store is \"\"; it must be a record id of 1 to 64 bytes, and has 0".to_owned(),
        ),
        (
            vec!["get", "unit", &"x".repeat(65)],
            format!("ID is \"{}\"; it must be a record id of 1 to 64 bytes, and has 65", "x".repeat(65)),
        ),
    ] {
        assert_eq!(parse(words.into_iter().map(OsString::from)).unwrap_err().to_string(), expected);
    }
}

#[test]
fn help_explains_every_verb_option_and_exit_code() {
    let all = help(None);
    for verb in VERBS {
        assert!(all.contains(verb.summary), "{}", verb.name);
        let text = help(Some(verb.name));
        for option in verb.all_options() {
            assert!(text.contains(&format!("--{}", option.name)), "{} --{}", verb.name, option.name);
        }
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }
    for exit in Exit::ALL {
        assert!(all.contains(exit.meaning()));
    }
}

#[test]
fn each_v_logs_more_and_each_q_less_but_errors_stay() {
    for (verbosity, configured, expected) in [
        (0, LevelFilter::Info, LevelFilter::Info),
        (1, LevelFilter::Info, LevelFilter::Debug),
        (9, LevelFilter::Info, LevelFilter::Trace),
        (-1, LevelFilter::Info, LevelFilter::Warn),
        (-9, LevelFilter::Info, LevelFilter::Error),
        (0, LevelFilter::Off, LevelFilter::Off),
    ] {
        let global = Global { verbosity, ..Global::default() };
        assert_eq!(global.log_level(configured), expected);
    }
}

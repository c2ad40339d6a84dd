//! Every verb and option with its help: the parser and the help text read the same list.

use std::fmt::Write as _;

use crate::exit::Exit;

/// An option with two dashes.
#[derive(Debug)]
pub(super) struct OptionWord {
    /// Without the dashes.
    pub(super) name: &'static str,
    /// One letter that means the same.
    pub(super) letter: Option<char>,
    /// What its value is called in the help; `None` if it takes none.
    pub(super) value: Option<&'static str>,
    /// What it does.
    pub(super) help: &'static str,
}

/// A verb.
#[derive(Debug)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    /// What may follow the verb, without options.
    pub(super) arguments: &'static str,
    /// In a few words, for the list of verbs.
    pub(super) summary: &'static str,
    /// More, for `help VERB`; may be empty.
    pub(super) help: &'static str,
    pub(super) options: &'static [OptionWord],
}

/// Options that every verb takes, before or after it.
pub(super) const GLOBAL_OPTIONS: &[OptionWord] = &[
    with_value("config", "FILE", "read the settings from FILE instead of /etc/outpost/agent.toml"),
    with_value("data", "FOLDER", "the data folder, instead of the one in the settings"),
    flag("json", "print JSON, one object a line"),
    OptionWord { name: "verbose", letter: Some('v'), value: None, help: "log more; twice logs more still" },
    OptionWord { name: "quiet", letter: Some('q'), value: None, help: "log less; twice logs errors alone" },
    OptionWord { name: "help", letter: Some('h'), value: None, help: "explain the verb" },
    OptionWord { name: "version", letter: Some('V'), value: None, help: "print the version" },
];

const WAIT: OptionWord = with_value("wait", "SECONDS", "keep trying for so long if central cannot be reached");
const REQUEST_ID: OptionWord =
    with_value("request-id", "TEXT", "a name for this request: repeating it with the same name does no harm");
const LIMIT: OptionWord = with_value("limit", "COUNT", "print at most COUNT; 100 if it is not given");

const PASSPHRASE: OptionWord =
    with_value("passphrase-file", "FILE", "read the passphrase from FILE; - reads it from standard input");

pub(super) const VERBS: &[Verb] = &[
    Verb {
        name: "enrol",
        arguments: "",
        summary: "make this device the one that speaks for a site",
        help: "Makes the device's key, shows central the site's name and password, and keeps what central answers. From then \
               on the key speaks for the site, from this device alone, and the password is not needed. It can be repeated if the \
               answer was lost, and has to be when the site's name or password was changed at central.\n\
               The password comes from --password-file, else from the environment variable OUTPOST_PASSWORD, else from the \
               file that the settings name. It is never an argument: arguments can be seen by others.",
        options: &[
            with_value("central", "URL", "central's address, instead of the one in the settings"),
            with_value("name", "TEXT", "the site's name, instead of the one in the settings"),
            with_value("password-file", "FILE", "read the password from FILE; - reads it from standard input"),
        ],
    },
    Verb {
        name: "initialise",
        arguments: "",
        summary: "fetch everything that central has for this site",
        help: "Pushes what is not sent yet, then reads every scope of this site from its beginning. For a new or a wiped \
               device. Edits that are not sent are kept. It goes on where it was cut.",
        options: &[WAIT],
    },
    Verb {
        name: "recover",
        arguments: "",
        summary: "go on after this device was set back to an older backup",
        help: "For a device that central refuses with fork, device_set_back or journal_retired. Says what it will do and asks. The \
               edits that only this device may have are exported to a file in the data folder and set aside for review, or \
               journaled anew. Then it goes on with a new journal and reads every record again from central. Needs the site's \
               password, as enrol does, and a stopped daemon. If it is cut, the same command goes on.",
        options: &[
            with_value("name", "TEXT", "the site's name, instead of the one that this device is enrolled with"),
            with_value("password-file", "FILE", "read the password from FILE; - reads it from standard input"),
            flag("journal-anew", "journal the exported edits anew under the new journal instead of setting them aside"),
            flag("yes", "do not ask"),
        ],
    },
    Verb {
        name: "re-pin",
        arguments: "FINGERPRINT",
        summary: "trust a new key of central's that an administrator vouches for",
        help: "For a central whose key was lost. FINGERPRINT comes from central's administrator, who runs `outpost-central \
               identity`, by telephone or on paper. Changes nothing if central shows another key. Needs a stopped daemon.",
        options: &[],
    },
    Verb {
        name: "record",
        arguments: "TABLE ID JSON",
        summary: "record edits; they are on disk before it answers",
        help: "Records one edit from its arguments, or many from a file of lines: \
               {\"table\":\"unit\",\"op\":\"upsert\",\"id\":\"4F2A\",\"data\":{...}}. One edit is an upsert unless --put or \
               --patch says otherwise. Of a file all lines are recorded or none, unless --continue.\n\
               upsert: JSON is the whole record, and a column that it leaves out is erased. Nothing is recorded if nothing differs.\n\
               put: as an upsert, but always recorded, and whole.\n\
               patch: JSON has only the columns to change; null erases one, the others stay. The record has to be here.\n\
               delete: the record goes. In a file alone; `outpost delete` deletes one.\n\
               To change one column: outpost record --patch item_line 6F2A1B0C '{\"quantity\":39}'",
        options: &[
            flag("put", "JSON is the whole record, and is recorded in any case"),
            flag("patch", "JSON has only the columns to change; null erases one"),
            with_value("file", "FILE", "read lines of edits from FILE; - reads standard input"),
            flag("group", "the lines are one group: central accepts or refuses it whole"),
            flag("continue", "record the good lines, and list the refused"),
            REQUEST_ID,
        ],
    },
    Verb {
        name: "next-number",
        arguments: "STORE KIND",
        summary: "give the next document number of a store; it is on disk before it answers",
        help: "Prints the number, such as that of the next invoice. The same number is not given twice: also not after the device was \
               initialised anew, or when the store has moved in order. Where the store goes on without a device that may have given \
               more, the numbers go on 1000 higher, which is enough for 1000 that it had not sent. The same --request-id with the same \
               kind and count gives the same number. Only for a store that is active here.\n\
               KIND is any name, as in mSupply's table number: outpost next-number 9286A3A206564493F2D1F6AACBC4E1A9 \
               customer_invoice_number",
        options: &[with_value("count", "COUNT", "give so many in a row, a line each; at most 1000"), REQUEST_ID],
    },
    Verb {
        name: "wait",
        arguments: "SEQUENCE",
        summary: "wait until central has an edit, or has refused it",
        help: "SEQUENCE is what `record` answered: `last`, for all of what it recorded. It waits for the daemon to sync, and does not make \
               it: `outpost sync` does. Ends with 0 if central has the edit, with 5 if it was refused, with 8 if neither came in time. \
               Where no daemon runs it says at once how far the edit is.",
        options: &[with_value("timeout", "SECONDS", "wait at most so long; 60 if it is not given, at most 600")],
    },
    Verb {
        name: "get",
        arguments: "TABLE ID",
        summary: "print a record as this site knows it",
        help: "",
        options: &[],
    },
    Verb {
        name: "list",
        arguments: "TABLE",
        summary: "print the records of a table, in the order of their ids",
        help: "",
        options: &[
            with_value("store", "ID", "only those of a store; an error if its data is not here"),
            flag("merged", "those too that central merged into others"),
            with_value("after", "ID", "begin after this id"),
            LIMIT,
        ],
    },
    Verb {
        name: "delete",
        arguments: "TABLE ID",
        summary: "record that a record is deleted",
        help: "",
        options: &[REQUEST_ID],
    },
    Verb {
        name: "sync",
        arguments: "",
        summary: "push what is recorded, then pull what central has",
        help: "Where the daemon runs, it does the work, and this shows how far it is.",
        options: &[WAIT],
    },
    Verb {
        name: "pause",
        arguments: "",
        summary: "let the daemon sync no more by itself",
        help: "For so long, or until `outpost resume`, also over a start of the daemon or of the device; `outpost status` says so. Repeated, it \
               takes the place of the pause before. Recording goes on, and `outpost sync` syncs all the same. A sync that runs goes on to \
               its end.",
        options: &[with_value("for", "DURATION", "end it by itself after so long: 30m, 8h, 2d; at most 366d")],
    },
    Verb {
        name: "resume",
        arguments: "",
        summary: "let the daemon sync by itself again",
        help: "Ends what `outpost pause` began. What is due by then is synced at once.",
        options: &[],
    },
    Verb {
        name: "run",
        arguments: "",
        summary: "run as a daemon: sync on schedule, answer the other commands",
        help: "SIGUSR1 syncs now. SIGHUP reads the settings anew; ones that cannot be used change nothing. SIGTERM and an interrupt stop \
               it within 5 seconds; what was recorded is recorded.",
        options: &[],
    },
    Verb {
        name: "service",
        arguments: "install | uninstall | start | stop | status",
        summary: "make the agent a service of this device, and look after it",
        help: "`install` writes the files of the service for systemd, OpenRC or runit, whichever this device runs. `start` starts it, \
               now and with the device; `stop` stops it until `start`, or until the device starts again. `uninstall` stops it \
               and removes its files; settings and data stay. `status` ends with 0 if it runs, else with 1.\n\
               Files that somebody has changed are neither overwritten nor removed. The service runs as the user outpost, which has to \
               be there. All but `status` needs root. On Windows and macOS there is no such service yet.",
        options: &[
            with_value("manager", "NAME", "systemd, openrc or runit, instead of what this device runs"),
            with_value("root", "FOLDER", "work below FOLDER instead of /, for a package; needs --manager"),
            with_value("program", "FILE", "the program to start, instead of this one; with --root /usr/bin/outpost"),
            with_value("user", "NAME", "the user to run it as, instead of outpost"),
            flag("print", "`install`: print the files, and do nothing"),
        ],
    },
    Verb {
        name: "client",
        arguments: "add NAME | list | revoke NAME | certificate",
        summary: "let other machines of the facility work on this agent, each with its own token",
        help: "`add` prints a token for a machine or a program of that name, once: only its hash is kept. `revoke` takes it back and ends the \
               connections that it has open, at once. `list` shows when each was last here. `certificate` prints the certificate by which \
               they know the agent, as PEM. The agent listens for them where [clients] in the settings says so.\n\
               Whoever has a token can read and record what this site can. Name machines, and no persons: the name stands in the log.",
        options: &[],
    },
    Verb {
        name: "config",
        arguments: "check [FILE] | show",
        summary: "check the settings, or print them with where each comes from",
        help: "`check` reads the settings as the daemon would, from FILE if it is given, and the environment. Ends with 0 if they can be \
               used, with 6 if not, and says which one is wrong and where it is written. `show` prints every setting with its value and \
               whether the command line, the environment, the file or the default says so; passwords are left out. A daemon that runs may \
               still have others: SIGHUP lets it read them anew.",
        options: &[],
    },
    Verb {
        name: "log",
        arguments: "",
        summary: "print the daemon's last log lines",
        help: "As the daemon keeps them in the data folder, up to 1 MiB, for devices without a journal of the system. Lines name ids, and never \
               what records hold. Works while the daemon runs, and while it does not.",
        options: &[
            with_value("lines", "COUNT", "print at most COUNT; 50 if it is not given"),
            flag("follow", "go on with what comes, until it is interrupted"),
        ],
    },
    Verb {
        name: "status",
        arguments: "",
        summary: "say how this site is: records, queue, last sync",
        help: "With --watch it goes on until an interrupt (Ctrl-C), also while the daemon is away: on a terminal it is drawn anew, elsewhere \
               it comes once for each change, with --json a line each.",
        options: &[flag("watch", "show it again as it changes")],
    },
    Verb {
        name: "page",
        arguments: "",
        summary: "print the address of the status page, for a browser of this device",
        help: "The address has the token in it: whoever has the address may do what you may. The agent has to run, and to listen at a \
               loopback address (listen under [local_api] in the settings).",
        options: &[],
    },
    Verb {
        name: "site",
        arguments: "",
        summary: "say who this site is, its stores, and whom they exchange transfers with",
        help: "The site's id, name, code and type, central's address and key, what this device is bound to, and each store that is \
               here with what it is: active, collector, transfer, or leaving for another site.",
        options: &[],
    },
    Verb { name: "queue", arguments: "", summary: "list what has yet to go to central", help: "", options: &[LIMIT] },
    Verb {
        name: "set-aside",
        arguments: "list | show NUMBER | retry NUMBER... | export FILE | dismiss NUMBER...",
        summary: "look after edits that were refused",
        help: "`list` names them with their reasons, `show` prints one whole, `retry` records them again under today's rules, \
               `export` writes all to FILE as lines of edits (- writes to standard output), `dismiss` lets them go for good. \
               Nothing is ever dropped from here silently.\n\
               To empty the list: `outpost set-aside export FILE`, then `outpost set-aside dismiss --all --exported-to FILE`. It \
               refuses if one of them is not in the file. If it is cut, the same command goes on.",
        options: &[
            LIMIT,
            flag("all", "`retry` and `dismiss`: all of them"),
            with_value("exported-to", "FILE", "`dismiss --all`: the file that `export` wrote them to"),
        ],
    },
    Verb {
        name: "carry",
        arguments: "out FILE | in FILE",
        summary: "exchange edits and records with central by USB stick",
        help: "`out` writes the edits that wait to FILE, a new one. At central, `outpost-central carry in FILE --answer ANSWER` takes them and \
               writes the answer; `outpost carry in ANSWER` stores it here. The files are encrypted under a passphrase, from \
               --passphrase-file, else from the environment variable OUTPOST_PASSPHRASE; it is never an argument.\n\
               Syncs in between do no harm: an answer that is overtaken changes nothing. If it is cut, the same command goes on. Needs a \
               stopped daemon.",
        options: &[PASSPHRASE],
    },
    Verb {
        name: "import",
        arguments: "FILE",
        summary: "store what `outpost-central site export` wrote for this site",
        help: "For a device that is enrolled and on which nothing was recorded yet, to spare its link. What is here and newer stays. \
               What changed since, and which stores may be written, comes with the next sync or `carry`. If it is cut, the same command \
               goes on. The file is encrypted; see `outpost help carry`. Needs a stopped daemon.",
        options: &[PASSPHRASE],
    },
    Verb {
        name: "backup",
        arguments: "FILE",
        summary: "write what central may not have to a file, for a device that takes this one's place",
        help: "Writes to FILE, a new one: records that never leave this site (local data, and what its stores keep here), edits that \
               central has not judged, and refused edits in set-aside. Everything else comes from central. It is no copy of this \
               device: its key is not in it, and it cannot make a second device. A daemon may run. The file is encrypted; see \
               `outpost help carry` for the passphrase, without which nobody can read it.",
        options: &[PASSPHRASE],
    },
    Verb {
        name: "restore",
        arguments: "FILE",
        summary: "record again what `outpost backup` kept of this site's last device",
        help: "For a device of the same site that is enrolled and initialised. What is here already is passed over, and nothing goes over a record \
               that was changed since the backup was made: such edits, and those that may not be recorded any more, are set aside with the \
               reason. Run `outpost sync` behind it. Repeated, or cut and repeated, it records nothing twice. Needs a stopped daemon.",
        options: &[PASSPHRASE, flag("dry-run", "say what would be recorded and what set aside, and do nothing")],
    },
    Verb {
        name: "check",
        arguments: "",
        summary: "check the connection: settings, address, encryption, clock, central",
        help: "A line for each step to central: ok, warning or failed, with what to do. The first that failed says how the program \
               ends; a warning does not make it fail. Nothing is changed, and a daemon may run.",
        options: &[],
    },
    Verb {
        name: "doctor",
        arguments: "",
        summary: "check the connection and this device: disk, permissions, daemon",
        help: "Everything that `check` looks at, then room and speed of the disk, who may read the private files, and whether the \
               daemon runs. Nothing is changed; a scratch file is written to measure the disk, and removed.",
        options: &[],
    },
    Verb {
        name: "verify",
        arguments: "",
        summary: "check the data folder, or this site's records against central's",
        help: "Without an option: reads every entry of both journals, the local copy and the identity, and whether they belong together. Changes \
               nothing, and works where the agent does not start. Stop the daemon first. Ends with 0 if everything is whole, with 7 \
               if something is damaged.\n\
               --with-central: syncs, then compares by digests what this site has with what central says it should have, and mends what \
               differs: records of this site are sent again, others are taken as central has them, and a version that gives way is set \
               aside. A record with an edit on its way is left alone. A daemon may run. Ends with 0 if this site has what it should have.",
        options: &[flag("with-central", "compare with central and mend what differs")],
    },
    Verb {
        name: "salvage",
        arguments: "",
        summary: "write out what can be read of a damaged data folder",
        help: "Writes entries, records, refused edits and a list of what is lost as lines of JSON into a new folder; bytes that \
               cannot be read as an edit as they are. Changes nothing in the data folder. Stop the daemon first. Ends with 0 if \
               nothing is lost, with 7 if something is.",
        options: &[with_value("out", "FOLDER", "the folder to make and write to")],
    },
    Verb {
        name: "bugreport",
        arguments: "FILE",
        summary: "write what whoever helps wants to know to a file, without secrets and records",
        help: "Writes versions, settings, what `doctor`, `verify` and `status` say and the last log lines to FILE, a new one, as text of at most \
               1 MB. Says first what it will hold. Passwords, tokens, keys and records are not in it. `verify` is left out while a daemon runs.",
        options: &[],
    },
    Verb {
        name: "completions",
        arguments: "bash | zsh | fish",
        summary: "print what lets a shell complete verbs and options",
        help: "For bash: outpost completions bash > /usr/share/bash-completion/completions/outpost. For zsh: save it as _outpost in a folder of \
               $fpath. For fish: save it as ~/.config/fish/completions/outpost.fish.",
        options: &[],
    },
    Verb { name: "version", arguments: "", summary: "print the version", help: "", options: &[] },
    Verb { name: "help", arguments: "[VERB]", summary: "explain everything, or one verb", help: "", options: &[] },
];

impl Verb {
    /// The verb of a name.
    pub(super) fn of(name: &str) -> Option<&'static Verb> {
        VERBS.iter().find(|verb| verb.name == name)
    }

    /// Its options and those that every verb takes.
    pub(super) fn all_options(&self) -> impl Iterator<Item = &'static OptionWord> {
        self.options.iter().chain(GLOBAL_OPTIONS)
    }
}

/// The help text: of one verb, or of the whole program.
pub fn help(verb: Option<&str>) -> String {
    match verb.and_then(Verb::of) {
        Some(verb) => help_of(verb),
        None => help_of_all(),
    }
}

fn help_of_all() -> String {
    let mut text = "outpost: records edits on this device and syncs them with central\n\n\
         Usage: outpost [OPTIONS] VERB ...\n\nVerbs:\n"
        .to_owned();
    for verb in VERBS {
        push(&mut text, verb.name, verb.summary);
    }
    text.push_str("\nOptions of every verb:\n");
    push_options(&mut text, GLOBAL_OPTIONS);
    text.push_str("\nExit codes:\n");
    for exit in Exit::ALL {
        push(&mut text, &exit.code().to_string(), exit.meaning());
    }
    text.push_str("\n`outpost help VERB` explains a verb. agent.toml.example explains the settings.\n");
    text
}

fn help_of(verb: &Verb) -> String {
    let mut text = format!("outpost {}: {}\n\nUsage: outpost {}", verb.name, verb.summary, verb.name);
    for part in [if verb.options.is_empty() { "" } else { "[OPTIONS]" }, verb.arguments] {
        if !part.is_empty() {
            text.push(' ');
            text.push_str(part);
        }
    }
    text.push('\n');
    if !verb.help.is_empty() {
        text.push('\n');
        text.push_str(&wrapped(verb.help));
    }
    if !verb.options.is_empty() {
        text.push_str("\nOptions:\n");
        push_options(&mut text, verb.options);
    }
    text.push_str("\nOptions of every verb:\n");
    push_options(&mut text, GLOBAL_OPTIONS);
    text
}

fn push_options(text: &mut String, options: &[OptionWord]) {
    for option in options {
        let letter = option.letter.map_or_else(String::new, |letter| format!("-{letter}, "));
        let value = option.value.map_or_else(String::new, |value| format!(" {value}"));
        push(text, &format!("{letter}--{}{value}", option.name), option.help);
    }
}

fn push(text: &mut String, left: &str, right: &str) {
    writeln!(text, "  {left:<22} {right}").expect("writing to text does not fail");
}

/// Breaks lines at 100 columns.
fn wrapped(text: &str) -> String {
    const COLUMNS_MAX: usize = 100;
    let mut wrapped = String::new();
    for paragraph in text.lines() {
        let mut columns = 0;
        for word in paragraph.split(' ') {
            let length = word.chars().count();
            if columns > 0 && columns + 1 + length > COLUMNS_MAX {
                wrapped.push('\n');
                columns = 0;
            } else if columns > 0 {
                wrapped.push(' ');
                columns += 1;
            }
            wrapped.push_str(word);
            columns += length;
        }
        wrapped.push('\n');
    }
    wrapped
}

const fn flag(name: &'static str, help: &'static str) -> OptionWord {
    OptionWord { name, letter: None, value: None, help }
}

const fn with_value(name: &'static str, value: &'static str, help: &'static str) -> OptionWord {
    OptionWord { name, letter: None, value: Some(value), help }
}

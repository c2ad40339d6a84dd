//! What a shell offers while a command line is typed, made from the list of verbs. Nothing is asked of the agent: it may be busy.

use std::fmt::Write as _;

use super::verbs::{GLOBAL_OPTIONS, OptionWord, VERBS, Verb};

/// A shell that can be taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash, from 4.4 on.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// The shell of a name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shell| shell.as_str() == word)
    }
}

/// The script that teaches a shell.
pub fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// The words that may follow a verb, such as `list` behind `set-aside`: those of its usage that are not in capitals.
fn words_behind(verb: &Verb) -> Vec<&'static str> {
    if verb.name == "help" {
        return VERBS.iter().map(|verb| verb.name).collect();
    }
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    verb.arguments.split(" | ").filter_map(|usage| usage.split(' ').next()).filter(is_word).collect()
}

/// Whether a value, or what follows a verb, is a file or a folder.
fn is_path(usage: &str) -> bool {
    usage.contains("FILE") || usage.contains("FOLDER")
}

fn dashed(options: impl Iterator<Item = &'static OptionWord>) -> Vec<String> {
    options.map(|option| format!("--{}", option.name)).collect()
}

/// The options of all verbs that are followed by a value for which this holds, each once.
fn options_with_value(holds: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for option in VERBS.iter().flat_map(Verb::all_options) {
        let word = format!("--{}", option.name);
        if option.value.is_some_and(&holds) && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn bash() -> String {
    let mut cases = String::new();
    for verb in VERBS {
        let mut words: Vec<String> = words_behind(verb).into_iter().map(str::to_owned).collect();
        words.extend(dashed(verb.all_options()));
        let files = if is_path(verb.arguments) { " files=yes" } else { "" };
        let _infallible = writeln!(cases, "        {}) words='{}'{files} ;;", verb.name, words.join(" "));
    }
    let mut first: Vec<String> = VERBS.iter().map(|verb| verb.name.to_owned()).collect();
    first.extend(dashed(GLOBAL_OPTIONS.iter()));
    format!(
        "# Completions of outpost for bash: source this file, or save it as\n\
         # /usr/share/bash-completion/completions/outpost.\n\
         _outpost() {{\n\
         \x20   local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} verb= words= files= at\n\
         \x20   COMPREPLY=()\n\
         \x20   for ((at = 1; at < COMP_CWORD; at++)); do\n\
         \x20       case ${{COMP_WORDS[at]}} in\n\
         \x20       {of_all}) ((at++)) ;;\n\
         \x20       -*) ;;\n\
         \x20       *) verb=${{COMP_WORDS[at]}}; break ;;\n\
         \x20       esac\n\
         \x20   done\n\
         \x20   case $before in\n\
         \x20   {paths}) files=yes ;;\n\
         \x20   {others}) return ;;\n\
         \x20   *)\n\
         \x20       case $verb in\n\
         \x20       '') words='{first}' ;;\n\
         {cases}\
         \x20       esac ;;\n\
         \x20   esac\n\
         \x20   if [[ -n $files && $word != -* ]]; then\n\
         \x20       compopt -o filenames\n\
         \x20       mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n\
         \x20   fi\n\
         \x20   mapfile -t -O ${{#COMPREPLY[@]}} COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n\
         }}\n\
         complete -F _outpost outpost\n",
        of_all = values_of_all().join("|"),
        paths = options_with_value(is_path).join("|"),
        others = options_with_value(|value| !is_path(value)).join("|"),
        first = first.join(" "),
    )
}

/// The options of every verb that are followed by a value.
fn values_of_all() -> Vec<String> {
    dashed(GLOBAL_OPTIONS.iter().filter(|option| option.value.is_some()))
}

fn zsh() -> String {
    // In a text of `_arguments` a colon ends it, and brackets stand around the help.
    let help = |text: &str| text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace('\'', "'\\''");
    let option = |option: &OptionWord| {
        let value = option
            .value
            .map_or_else(String::new, |value| format!(":{value}:{}", if is_path(value) { "_files" } else { "" }));
        let mut lines = vec![format!("'--{}[{}]{value}'", option.name, help(option.help))];
        lines.extend(option.letter.map(|letter| format!("'-{letter}[{}]{value}'", help(option.help))));
        lines.join(" ")
    };
    let mut verbs = String::new();
    let mut cases = String::new();
    for verb in VERBS {
        let _infallible =
            writeln!(verbs, "    '{}:{}'", verb.name, verb.summary.replace('\'', "'\\''").replace(':', "\\:"));
        let mut of_verb: Vec<String> = verb.options.iter().map(option).collect();
        let words = words_behind(verb);
        if !words.is_empty() {
            of_verb.push(format!("'1:word:({})'", words.join(" ")));
        }
        if is_path(verb.arguments) {
            of_verb.push("'*:file:_files'".to_owned());
        }
        let _infallible = writeln!(cases, "    {}) of_verb=({}) ;;", verb.name, of_verb.join(" "));
    }
    let of_all: Vec<String> = GLOBAL_OPTIONS.iter().map(option).collect();
    format!(
        "#compdef outpost\n\
         # Completions of outpost for zsh: save this file as _outpost in a folder of $fpath.\n\
         _outpost() {{\n\
         \x20 local context state state_descr line\n\
         \x20 local -A opt_args\n\
         \x20 local -a of_all of_verb verbs\n\
         \x20 of_all=({of_all})\n\
         \x20 verbs=(\n{verbs}  )\n\
         \x20 _arguments -C $of_all '1: :->verb' '*:: :->rest' && return\n\
         \x20 case $state in\n\
         \x20 verb) _describe verb verbs ;;\n\
         \x20 rest)\n\
         \x20   case $words[1] in\n\
         {cases}\
         \x20   esac\n\
         \x20   _arguments $of_all $of_verb ;;\n\
         \x20 esac\n\
         }}\n\
         if [[ $funcstack[1] == _outpost ]]; then _outpost; else compdef _outpost outpost; fi\n",
        of_all = of_all.join(" "),
    )
}

fn fish() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut text = "# Completions of outpost for fish: save this file as ~/.config/fish/completions/outpost.fish.\n\
                    complete -c outpost -f\n"
        .to_owned();
    let mut add = |condition: &str, option: &OptionWord| {
        let letter = option.letter.map_or_else(String::new, |letter| format!(" -s {letter}"));
        let value = match option.value {
            Some(value) if is_path(value) => " -r -F",
            Some(_) => " -x",
            None => "",
        };
        let _infallible = writeln!(
            text,
            "complete -c outpost{condition} -l {}{letter}{value} -d {}",
            option.name,
            quoted(option.help)
        );
    };
    for option in GLOBAL_OPTIONS {
        add("", option);
    }
    for verb in VERBS {
        let condition = format!(" -n '__fish_seen_subcommand_from {}'", verb.name);
        for option in verb.options {
            add(&condition, option);
        }
    }
    for verb in VERBS {
        let _infallible =
            writeln!(text, "complete -c outpost -n __fish_use_subcommand -a {} -d {}", verb.name, quoted(verb.summary));
        let condition = format!("-n '__fish_seen_subcommand_from {}'", verb.name);
        let words = words_behind(verb);
        if !words.is_empty() {
            let _infallible = writeln!(text, "complete -c outpost {condition} -a '{}'", words.join(" "));
        }
        if is_path(verb.arguments) {
            let _infallible = writeln!(text, "complete -c outpost {condition} -F");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn every_verb_option_and_word_behind_a_verb_is_in_each_script() {
        for shell in Shell::ALL {
            let script = completions(shell);
            for verb in VERBS {
                assert!(script.contains(verb.name), "{shell:?} {}", verb.name);
                for option in verb.all_options() {
                    let word =
                        if shell == Shell::Fish { format!("-l {}", option.name) } else { format!("--{}", option.name) };
                    assert!(script.contains(&word), "{shell:?} {} {word}", verb.name);
                }
                for word in words_behind(verb) {
                    assert!(script.contains(word), "{shell:?} {} {word}", verb.name);
                }
            }
            assert_eq!(Shell::of_word(shell.as_str()), Some(shell));
        }
    }

    /// What a shell prints when it runs a script; `None` if the shell is not here.
    fn ran(shell: &str, script: &str) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let without_settings = match shell {
            "bash" => &["--noprofile", "--norc"][..],
            "zsh" => &["-f"],
            _ => &["--no-config"],
        };
        let Ok(output) = Command::new(shell).args(without_settings).arg(file.path()).output() else {
            let _ = std::io::stderr()
                .write_all(format!("\nNOT RUN: there is no {shell} to try its completions\n").as_bytes());
            return None;
        };
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && error.is_empty(), "{shell}: {error}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn bash_offers_what_fits_what_is_typed() {
        let script = completions(Shell::Bash);
        let offered = |typed: &[&str]| {
            // The shell allows this word of its own while somebody types alone.
            let words: Vec<String> = typed.iter().map(|word| format!("'{word}'")).collect();
            let ask = format!(
                "compopt() {{ :; }}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_outpost\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
                words.join(" "),
                typed.len() - 1
            );
            ran("bash", &format!("{script}\n{ask}")).map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        };
        let Some(verbs) = offered(&["outpost", ""]) else { return };

        assert!(VERBS.iter().all(|verb| verbs.iter().any(|word| word == verb.name)), "{verbs:?}");
        assert_eq!(offered(&["outpost", "cli"]).unwrap(), ["client"]);
        assert_eq!(offered(&["outpost", "--data", "/x", "set-aside", "re"]).unwrap(), ["retry"]);
        assert_eq!(offered(&["outpost", "record", "--pa"]).unwrap(), ["--patch"]);
        assert_eq!(offered(&["outpost", "--json", "help", "next"]).unwrap(), ["next-number"]);
        assert!(offered(&["outpost", "import", "/etc/host"]).unwrap().contains(&"/etc/hosts".to_owned()));
        assert!(offered(&["outpost", "--config", "/etc/host"]).unwrap().contains(&"/etc/hosts".to_owned()));
        assert_eq!(offered(&["outpost", "enrol", "--name", ""]).unwrap(), [""], "a name is the user's own");
    }

    #[test]
    fn zsh_and_fish_understand_their_scripts() {
        if let Some(text) = ran("fish", &format!("{}\ncomplete -C 'outpost cli'\n", completions(Shell::Fish))) {
            assert!(text.starts_with("client\t"), "{text}");
        }
        let script = completions(Shell::Fish);
        if let Some(text) =
            ran("fish", &format!("{script}\ncomplete -C 'outpost set-aside re'\ncomplete -C 'outpost record --pa'\n"))
        {
            assert!(text.contains("retry") && text.contains("--patch\t"), "{text}");
        }
        ran(
            "zsh",
            &format!("autoload -U compinit && compinit -D\n{}\nwhich _outpost > /dev/null\n", completions(Shell::Zsh)),
        );
    }

    #[test]
    fn words_behind_a_verb_are_those_that_are_typed_as_they_stand() {
        let words = |name: &str| words_behind(Verb::of(name).unwrap());

        assert_eq!(words("set-aside"), ["list", "show", "retry", "export", "dismiss"]);
        assert_eq!(words("carry"), ["out", "in"]);
        assert_eq!(words("service"), ["install", "uninstall", "start", "stop", "status"]);
        assert_eq!(words("client"), ["add", "list", "revoke", "certificate"]);
        assert!(words("get").is_empty() && words("status").is_empty() && words("import").is_empty());
    }
}

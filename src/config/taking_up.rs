//! Which settings count at once when they are read anew, and which at the next start alone.

use super::Config;

/// Settings that were read anew, beside those that were in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenUp {
    /// What is in force from here on: the new value where that may change while the agent runs, else the old one.
    pub config: Config,
    /// Names of settings, or of their sections, whose new value counts at once.
    pub at_once: Vec<&'static str>,
    /// Names of those whose new value counts at the next start.
    pub at_start: Vec<&'static str>,
}

impl Config {
    /// What becomes of these settings when others are read while the agent runs. The folder, the socket, and what every record
    /// was judged by (tables, the kind of device) stay as they are until the next start.
    #[must_use]
    pub fn taken_up(&self, read: Config) -> TakenUp {
        // Without `..`: whoever adds a setting decides here when it counts.
        let Config {
            file,
            data_folder,
            socket_path,
            local_api_listen,
            local_api_pages,
            clients,
            hardware_root,
            log_level,
            central_url,
            central_ca_file,
            central_proxy,
            name_servers,
            site_name,
            password_file,
            device_kind,
            schedule,
            pacing,
            timeouts,
            limits,
            tables,
        } = read;
        let config = Config {
            file,
            log_level,
            central_url,
            central_ca_file,
            central_proxy,
            name_servers,
            site_name,
            password_file,
            schedule,
            pacing,
            timeouts,
            limits,
            ..self.clone()
        };
        let at_once = [
            ("log_level", config.log_level != self.log_level),
            ("central.url", config.central_url != self.central_url),
            ("central.ca_file", config.central_ca_file != self.central_ca_file),
            ("central.proxy", config.central_proxy != self.central_proxy),
            ("central.name_servers", config.name_servers != self.name_servers),
            ("site.name", config.site_name != self.site_name),
            ("site.password_file", config.password_file != self.password_file),
            ("schedule", config.schedule != self.schedule || config.pacing != self.pacing),
            ("timeouts", config.timeouts != self.timeouts),
            ("limits", config.limits != self.limits),
        ];
        let at_start = [
            ("data_folder", data_folder != self.data_folder),
            ("socket_path", socket_path != self.socket_path),
            ("local_api.listen", local_api_listen != self.local_api_listen),
            ("local_api.pages", local_api_pages != self.local_api_pages),
            ("clients", clients != self.clients),
            ("hardware_root", hardware_root != self.hardware_root),
            ("site.device_kind", device_kind != self.device_kind),
            ("table", tables != self.tables),
        ];
        TakenUp { config, at_once: names(&at_once), at_start: names(&at_start) }
    }
}

fn names(settings: &[(&'static str, bool)]) -> Vec<&'static str> {
    settings.iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::of_text(Path::new("/etc/outpost/agent.toml"), text).unwrap()
    }

    #[test]
    fn what_may_change_while_the_agent_runs_counts_at_once() {
        let before = config("data_folder = \"/data\"");
        let read = config(
            "data_folder = \"/data\"\nlog_level = \"debug\"\n[central]\nurl = \"https://other.example.org\"\n[site]\nname = \"x\"\n\
             [schedule]\ninterval_s = 60\nwindows = [\"22:00-05:00\"]\n[timeouts]\nconnect_ms = 1000\n[limits]\ndisk_reserve_bytes = 1048576",
        );

        let taken = before.taken_up(read.clone());

        assert_eq!(taken.config, read);
        assert_eq!(taken.at_once, ["log_level", "central.url", "site.name", "schedule", "timeouts", "limits"]);
        assert!(taken.at_start.is_empty());
    }

    #[test]
    fn what_everything_here_lies_by_stays_until_the_next_start() {
        let before = config("data_folder = \"/data\"\nsocket_path = \"/data/s\"");
        let read = config(
            "data_folder = \"/other\"\nsocket_path = \"/other/s\"\nhardware_root = \"/host\"\n\
             [local_api]\nlisten = \"127.0.0.1:8787\"\npages = \"/pages\"\n\
             [clients]\nlisten = \"192.0.2.7:8443\"\n[site]\ndevice_kind = \"mobile\"\n\
             [[table]]\nname = \"reading\"\ntype = \"local\"",
        );

        let taken = before.taken_up(read);

        assert_eq!(taken.config, before);
        assert!(taken.at_once.is_empty());
        let at_start = [
            "data_folder",
            "socket_path",
            "local_api.listen",
            "local_api.pages",
            "clients",
            "hardware_root",
            "site.device_kind",
            "table",
        ];
        assert_eq!(taken.at_start, at_start);
    }

    #[test]
    fn the_same_settings_change_nothing() {
        let config = config("");

        let taken = config.taken_up(config.clone());

        assert!(taken.at_once.is_empty() && taken.at_start.is_empty());
        assert_eq!(taken.config, config);
    }
}

//! Introducing this device to central: by hand, and by itself when the site's name or password has changed.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use protocol::ids::{JournalId, PublicKey, SiteId};
use zeroize::Zeroizing;

use super::{Agent, Credentials, Line, no_central};
use crate::clock;
use crate::config::{CentralUrl, Config};
use crate::device::{Enrolment, PASSWORD_VARIABLE, find_hardware, site_password};
use crate::error::AgentError;
use crate::exit::Exit;
use crate::transport::{EnrolRequest, Transport};

/// Who introduces itself.
struct Introduction<'a> {
    public_key: PublicKey,
    journal: JournalId,
    site_name: &'a str,
    password: &'a Zeroizing<String>,
    /// The site that this folder belongs to, and the only key of central that gets the password; `None` takes any.
    known: Option<(SiteId, PublicKey)>,
}

/// What a device that is enrolled knows, and an enrolment may not change.
fn known_of(enrolment: &Enrolment) -> (SiteId, PublicKey) {
    (enrolment.site, enrolment.central_key)
}

impl Agent {
    /// Introduces this device to central with the site's name and password, and pins central's key if none is pinned yet. Harmless
    /// when repeated.
    ///
    /// # Errors
    /// [`AgentError`]: central cannot be reached, has another key than the pinned one, is asked for another site than this
    /// folder's, or refuses name, password or hardware; nothing has changed then.
    pub fn enrol(mut self, credentials: &Credentials<'_>) -> Result<Self, AgentError> {
        let (mut transport, url) = self.way_to_enrol(credentials.central.as_ref())?;
        let journal = self.device().identity().journal;
        let enrolment = self.ask_to_enrol(&mut transport, &url, credentials, journal)?;
        self.keep_enrolment(enrolment)?;
        let config = Config::clone(&self.config());
        drop(self);
        Self::open(config)
    }

    /// The way to the central that is named, else to that of the settings, else to where the device is enrolled.
    pub(super) fn way_to_enrol(&self, central: Option<&CentralUrl>) -> Result<(Transport, CentralUrl), AgentError> {
        let enrolled = self.device().identity().enrolment.as_ref().map(|enrolment| enrolment.central_url.clone());
        let config = self.config();
        let url = central.cloned().or_else(|| config.central_url.clone()).or(enrolled).ok_or_else(no_central)?;
        Ok((Transport::new(&config, url.clone())?, url))
    }

    /// Shows central name and password, and the journal that this device will send. If central has retired the device's key, the
    /// device makes another one and asks with that.
    pub(super) fn ask_to_enrol(
        &self,
        transport: &mut Transport,
        url: &CentralUrl,
        credentials: &Credentials<'_>,
        journal: JournalId,
    ) -> Result<Enrolment, AgentError> {
        let config = self.config();
        let mut device = self.device();
        let known = device.identity().enrolment.as_ref().map(known_of);
        let mut ask = |public_key| {
            let (site_name, password) = (credentials.site_name, credentials.password);
            let introduction = Introduction { public_key, journal, site_name, password, known };
            introduce(transport, &config, url.clone(), &introduction)
        };
        let first = ask(device.public_key());
        if !is_key_retired(&first) {
            return first;
        }
        let waiting = match device.next_key()? {
            Some(key) => ask(key),
            None => ask(device.make_next_key()?),
        };
        // One that was asked for before may have been taken and retired since.
        let taken = if is_key_retired(&waiting) { ask(device.make_next_key()?) } else { waiting };
        let enrolment = taken?;
        device.take_next_key()?;
        log::warn!("central has retired the key of this device, and took a new one site={}", enrolment.site);
        Ok(enrolment)
    }

    /// Keeps what central answered, unless it is about another site than this folder's.
    pub(super) fn keep_enrolment(&mut self, enrolment: Enrolment) -> Result<(), AgentError> {
        let device = self.device.get_mut().unwrap_or_else(PoisonError::into_inner);
        check_site(device.identity().enrolment.as_ref(), &enrolment)?;
        Ok(device.enrol(enrolment)?)
    }

    /// Proves the name and password of the configuration, after central said that they had changed. False if the configuration
    /// does not give both.
    ///
    /// # Errors
    /// [`AgentError`]: central cannot be reached, has another key than the pinned one, or refuses; nothing has changed then.
    pub fn prove_again(&self) -> Result<bool, AgentError> {
        let config = self.config();
        let Some(site_name) = &config.site_name else { return Ok(false) };
        let variable = std::env::var_os(PASSWORD_VARIABLE);
        if variable.is_none() && config.password_file.is_none() {
            return Ok(false);
        }
        let password = site_password(None, variable, config.password_file.as_deref(), &mut std::io::empty())?;
        let (public_key, journal, known) = {
            let device = self.device();
            (device.public_key(), device.identity().journal, device.enrolment()?.clone())
        };
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let Line { transport: Some(transport), .. } = &mut *line else { return Ok(false) };
        let introduction =
            Introduction { public_key, journal, site_name, password: &password, known: Some(known_of(&known)) };
        let enrolment = introduce(transport, &config, known.central_url.clone(), &introduction)?;
        check_site(Some(&known), &enrolment)?;
        self.device().enrol(enrolment)?;
        log::info!("central took the name and password of the configuration site={}", known.site);
        Ok(true)
    }

    /// Whether this device may speak for its site; what it is made of is looked at each time.
    ///
    /// # Errors
    /// `hardware_changed`; `status` shows it as the last sync.
    pub(super) fn check_hardware(&self) -> Result<(), AgentError> {
        let binding = self.device().binding(&self.config().hardware_root);
        if let Err(error) = binding.check() {
            let now_ms = clock::wall_now().0;
            let failure = (error.code.as_str(), error.message.as_str());
            let mut core = self.recorder()?.core();
            core.local.remember_sync(now_ms, Some(failure))?;
            core.local.remember_standing(&error.advice, None)?;
            drop(core);
            return Err(error);
        }
        if let Some(difference) = binding.difference()
            && !self.has_told_difference.swap(true, Ordering::Relaxed)
        {
            let judged = if binding.is_told() {
                "enough is the same"
            } else {
                "what was enrolled cannot tell this device from others"
            };
            log::warn!(
                "some of the hardware differs from what was enrolled, and {judged}: {difference}; `outpost enrol` takes it as it is"
            );
        }
        Ok(())
    }
}

/// The two steps of an enrolment.
fn introduce(
    transport: &mut Transport,
    config: &Config,
    central_url: CentralUrl,
    introduction: &Introduction<'_>,
) -> Result<Enrolment, AgentError> {
    let begin = transport.begin_enrolment(introduction.site_name)?;
    let (known_site, pinned) = introduction.known.unzip();
    if pinned.is_some_and(|pinned| pinned != begin.central_key) {
        return Err(other_key("what answers in central's place has another key than the pinned one"));
    }
    let hardware = find_hardware(&config.hardware_root, &begin.salt);
    let reply = transport.enrol(&EnrolRequest {
        site_name: introduction.site_name,
        site: known_site,
        password: introduction.password,
        public_key: introduction.public_key,
        journal: introduction.journal,
        device_kind: config.device_kind,
        hardware: &hardware,
    })?;
    if reply.central_key != begin.central_key {
        return Err(other_key("central showed two keys in one enrolment"));
    }
    Ok(Enrolment {
        site: reply.site,
        site_name: introduction.site_name.to_owned(),
        central_url,
        central_key: reply.central_key,
        generation: reply.generation,
        salt: begin.salt,
        hardware,
        bound_ms: Some(clock::wall_now().0),
    })
}

fn is_key_retired(asked: &Result<Enrolment, AgentError>) -> bool {
    asked.as_ref().is_err_and(|error| error.code == "key_retired")
}

fn check_site(known: Option<&Enrolment>, answered: &Enrolment) -> Result<(), AgentError> {
    match known {
        Some(known) if known.site != answered.site => Err(AgentError::new(
            "other_site",
            format!(
                "this data folder belongs to site {}, and {} is site {}",
                known.site, answered.site_name, answered.site
            ),
            "Use another data folder for another site.",
            Exit::Refused,
        )),
        _ => Ok(()),
    }
}

fn other_key(what: &str) -> AgentError {
    AgentError::new(
        "central_key_differs",
        what,
        "Ask whoever looks after central whether its key was replaced. If it was, `outpost re-pin` takes the fingerprint that they \
         give you. If it was not, this is another server, or somebody stands between. Nothing was changed.",
        Exit::Refused,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// Answers one request after the other with these bodies; gives what was asked.
    fn central(bodies: Vec<String>) -> (CentralUrl, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = CentralUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let asked = std::thread::spawn(move || {
            let answers = bodies.into_iter().map(|body| {
                let (mut connection, _) = listener.accept().unwrap();
                let mut asked = Vec::new();
                // A request is a JSON object, so that it ends with its bracket.
                while !asked.ends_with(b"}") {
                    let mut bytes = [0; 1024];
                    let count = connection.read(&mut bytes).unwrap();
                    asked.extend_from_slice(&bytes[..count]);
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
                write!(connection, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
                String::from_utf8(asked).unwrap()
            });
            answers.collect()
        });
        (url, asked)
    }

    fn begin(key: u8) -> String {
        format!(r#"{{"salt":"{}","central_key":"{}"}}"#, "05".repeat(16), PublicKey([key; 32]))
    }

    fn enrolled(key: u8) -> String {
        let key = PublicKey([key; 32]);
        format!(r#"{{"site_id":2,"central_key":"{key}","credential_generation":1,"binding":"none"}}"#)
    }

    fn introduced(url: CentralUrl, known: Option<(SiteId, PublicKey)>) -> Result<Enrolment, AgentError> {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { hardware_root: folder.path().into(), ..Config::load(&Sources::default()).unwrap() };
        let mut transport = Transport::new(&config, url.clone()).unwrap();
        let password = Zeroizing::new("open sesame".to_owned());
        let introduction = Introduction {
            public_key: PublicKey([8; 32]),
            journal: JournalId([9; 16]),
            site_name: "north",
            password: &password,
            known,
        };
        introduce(&mut transport, &config, url, &introduction)
    }

    #[test]
    fn a_password_that_is_shown_without_a_person_goes_to_the_pinned_central_alone() {
        let (url, asked) = central(vec![begin(4)]);

        let error = introduced(url, Some((SiteId(2), PublicKey([3; 32])))).unwrap_err();

        assert_eq!((error.code.as_str(), error.exit), ("central_key_differs", Exit::Refused));
        assert!(!asked.join().unwrap().concat().contains("sesame"));
    }

    #[test]
    fn a_central_that_shows_two_keys_is_not_believed() {
        let (url, asked) = central(vec![begin(3), enrolled(4)]);
        assert_eq!(introduced(url, None).unwrap_err().code, "central_key_differs");
        assert_eq!(asked.join().unwrap().len(), 2);

        let (url, asked) = central(vec![begin(3), enrolled(3)]);
        let enrolment = introduced(url, None).unwrap();
        assert_eq!((enrolment.site.0, enrolment.central_key), (2, PublicKey([3; 32])));
        let asked = asked.join().unwrap();
        assert!(asked[1].contains(r#""hardware":"0100""#) && asked[1].contains(r#""site_id":null"#), "{asked:?}");
    }
}

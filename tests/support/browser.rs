//! A real Chromium without a window, driven over its debugging pipe: JSON between zero bytes, on the file handles 3 and 4.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::DEADLINE;

/// Set where a machine without a browser is a mistake.
const REQUIRED_VARIABLE: &str = "CI_REQUIRES_CHROMIUM";
/// Names that it goes by.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Leaves in `picture` a picture in so few shades that 256 colours are enough: its size, its colours, and its packed rows of numbers of
/// colours.
const FEW_COLOURS: &str = "
    async function few_colours(url) {
        const image = new Image();
        image.src = url;
        await image.decode();
        const { width, height } = image;
        const context = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d');
        context.drawImage(image, 0, 0);
        const pixels = context.getImageData(0, 0, width, height).data;
        const rows = new Uint8Array((width + 1) * height);
        const colours = new Map();
        for (let step = 4; !colours.size || colours.size > 256; step *= 2) {
            colours.clear();
            for (let at = 0; at < width * height; at++) {
                const shade = (part) => Math.min(255, Math.round(pixels[4 * at + part] / step) * step);
                const colour = [shade(0), shade(1), shade(2)].join();
                if (!colours.has(colour)) colours.set(colour, colours.size);
                rows[at + Math.floor(at / width) + 1] = colours.get(colour);
            }
        }
        const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'));
        const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
        const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
        const palette = [...colours.keys()].flatMap((colour) => colour.split(',').map(Number));
        window.picture = { width, height, palette, packed: btoa(text) };
    }";

/// See the module. It ends with this value.
pub struct Browser {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    last_id: u64,
    session: String,
    /// What the page's console was told that is wrong.
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with an empty page; `None`, with a loud line, if there is none on this machine.
    pub fn start() -> Option<Self> {
        let has = |program: &&&str| {
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        let Some(program) = PROGRAMS.iter().find(has) else {
            assert!(
                std::env::var_os(REQUIRED_VARIABLE).is_none(),
                "there is no Chromium, and {REQUIRED_VARIABLE} is set"
            );
            super::not_run("there is no Chromium on this machine, so no page was driven");
            return None;
        };
        let profile = TempDir::new().unwrap();
        let flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-lcd-text --no-first-run --remote-debugging-pipe";
        let script = format!("exec {program} {flags} --user-data-dir=\"$1\" about:blank 3<&0 4>&1 1>&2");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(profile.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self {
            child,
            stdin,
            stdout,
            last_id: 0,
            session: String::new(),
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        browser.call("Log.enable", &json!({}));
        browser.call("Runtime.enable", &json!({}));
        Some(browser)
    }

    /// Goes to an address.
    pub fn open(&mut self, url: &str) {
        let gone = self.call("Page.navigate", &json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
    }

    /// Runs a script in the page; what it comes to.
    pub fn run(&mut self, script: &str) -> Value {
        let ran = self.call("Runtime.evaluate", &json!({ "expression": script, "returnByValue": true }));
        assert!(ran["exceptionDetails"].is_null(), "{script}: {ran}");
        ran["result"]["value"].clone()
    }

    /// Waits until something holds in the page.
    pub fn wait_for(&mut self, condition: &str) {
        let deadline = Instant::now() + DEADLINE;
        while self.run(condition) != true {
            let shown = self.run("document.body?.innerText ?? ''");
            assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {condition}; the page says: {shown}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Lets the page be shown on a screen of so many pixels, in light or dark.
    pub fn look_like(&mut self, width: u32, height: u32, is_dark: bool) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &screen);
        let scheme = if is_dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// What the screen shows, as PNG of at most 256 colours, which takes a fraction of all of them. The page is gone after that.
    pub fn screenshot(&mut self) -> Vec<u8> {
        self.call("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        self.open("about:blank");
        self.wait_for("location.href === 'about:blank' && document.readyState === 'complete'");
        let data = shot["data"].as_str().unwrap();
        self.run(&format!("{FEW_COLOURS}; few_colours('data:image/png;base64,{data}'); 0"));
        self.wait_for("window.picture !== undefined");
        png_of(&self.run("picture"))
    }

    /// What the console was told so far that is wrong, such as something against the page's policy; not that an address could not be
    /// reached.
    pub fn complaints(&mut self) -> Vec<String> {
        self.run("0");
        std::mem::take(&mut self.complaints)
    }

    fn hear(&mut self, told: &Value) {
        let entry = &told["params"]["entry"];
        if told["method"] == "Runtime.exceptionThrown" {
            self.complaints.push(told["params"]["exceptionDetails"].to_string());
        } else if told["method"] == "Log.entryAdded" && entry["level"] == "error" && entry["source"] != "network" {
            self.complaints.push(entry["text"].to_string());
        }
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.stdin.write_all(format!("{message}\0").as_bytes()).unwrap();
        self.stdin.flush().unwrap();
        loop {
            let mut bytes = Vec::new();
            self.stdout.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser is gone");
            let told: Value = serde_json::from_slice(&bytes).unwrap();
            if told["id"] == self.last_id {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
            self.hear(&told);
        }
    }
}

/// A picture of [`FEW_COLOURS`] as a file.
fn png_of(picture: &Value) -> Vec<u8> {
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let mut head = Vec::new();
    head.extend(number(&picture["width"]).to_be_bytes());
    head.extend(number(&picture["height"]).to_be_bytes());
    // Eight bits for each pixel, which are the number of a colour.
    head.extend([8, 3, 0, 0, 0]);
    let palette: Vec<u8> =
        picture["palette"].as_array().unwrap().iter().map(|part| u8::try_from(number(part)).unwrap()).collect();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let packed = from_base64(picture["packed"].as_str().unwrap());
    for (kind, content) in [(b"IHDR", head), (b"PLTE", palette), (b"IDAT", packed), (b"IEND", Vec::new())] {
        png.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        let part = [kind.as_slice(), &content].concat();
        png.extend(&part);
        png.extend(crc32fast::hash(&part).to_be_bytes());
    }
    png
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte).map(|value| u32::try_from(value).unwrap());
    let digits: Vec<u32> = text.as_bytes().iter().filter_map(digit).collect();
    let bytes_of = |four: &[u32]| {
        let bits = (0..4).fold(0, |bits, at| bits << 6 | four.get(at).copied().unwrap_or_default());
        bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
    };
    digits.chunks(4).flat_map(bytes_of).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

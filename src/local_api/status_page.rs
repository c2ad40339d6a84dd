//! The status page: one file with everything in it, no data and no secret. What it shows it asks for, with the token that stood behind
//! `#` in its address.

use std::io::{self, Write};

use super::reply::send_text;
use crate::entropy;
use crate::hex;

/// Where it is.
pub(super) const STATUS_PAGE_PATH: &str = "/";
const PAGE: &str = include_str!("status_page.html");
/// Stands in the page where the number goes that its own script and style show.
const NONCE: &str = "NONCE";

/// Sends the page. Its policy lets nothing run or shine through but its own script and style, and lets it ask nobody but the agent.
pub(super) fn send(stream: &mut dyn Write) -> io::Result<()> {
    let nonce = hex::text(&entropy::bytes::<16>());
    let headers = format!(
        "Content-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n\
         Referrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
    );
    send_text(stream, "text/html; charset=utf-8", &headers, &PAGE.replace(NONCE, &nonce))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So much of the device's disk and memory it takes at most, in bytes.
    const PAGE_BYTES_MAX: usize = 20 * 1024;

    #[test]
    fn the_page_is_small_and_has_everything_in_it() {
        assert!(PAGE.len() <= PAGE_BYTES_MAX, "{} bytes", PAGE.len());
        for outside in ["src=", "href=", "url(", "@import", "http://", "https://"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        for handler in [" onclick=\"", " onload=\"", " style=\"", "javascript:"] {
            assert!(!PAGE.contains(handler), "{handler}");
        }
    }

    #[test]
    fn what_is_shown_is_text_and_never_markup() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!PAGE.contains(way), "{way}");
        }
    }

    #[test]
    fn each_answer_has_a_number_of_its_own_that_only_its_own_script_and_style_show() {
        let sent = || {
            let mut sent = Vec::new();
            send(&mut sent).unwrap();
            String::from_utf8(sent).unwrap()
        };
        let nonce = |page: &str| page.split("'nonce-").nth(1).unwrap()[..32].to_owned();
        let (first, second) = (sent(), sent());

        assert_ne!(nonce(&first), nonce(&second));
        assert_eq!(first.matches(&nonce(&first)).count(), 4);
        assert!(first.contains("default-src 'none'") && !first.contains(NONCE), "{first}");
    }
}

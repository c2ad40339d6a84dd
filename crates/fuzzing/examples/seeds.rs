//! Writes the part of the corpus that is made by hand: `cargo run -p fuzzing --example seeds`. What stands there already is left
//! as it is, so that finds of the fuzzer stay; run it again when a format changes.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Bytes of a section before its body.
const HEADER_BYTES: usize = protocol::section::HEADER_BYTES;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn put(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = root().join("tests/fuzz/corpus").join(target);
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    if path.exists() { Ok(()) } else { fs::write(path, bytes) }
}

/// A golden file's bytes: a comment line, then hexadecimal digits.
fn golden(name: &str) -> io::Result<Vec<u8>> {
    let text = fs::read_to_string(root().join("tests/golden/wire-1").join(format!("{name}.hex")))?;
    let digits: Vec<u8> =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(str::bytes).filter_map(digit).collect();
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn behind(first: u8, rest: &[u8]) -> Vec<u8> {
    [&[first], rest].concat()
}

fn main() -> io::Result<()> {
    wire()?;
    machines()?;
    sticks()?;
    texts()?;
    journal()
}

fn wire() -> io::Result<()> {
    let sections =
        ["request_head", "reply_head", "frame_part", "refusal", "frames", "frames_zstd", "page", "page_zstd"];
    for name in sections {
        put("section", name, &behind(6, &golden(name)?))?;
    }
    let messages = [
        (0, "request_head"),
        (0, "request_head_later"),
        (0, "request_head_further"),
        (1, "reply_head_further"),
        (1, "reply_head"),
        (2, "refusal"),
        (2, "refusal_version"),
        (3, "frame_part"),
        (5, "page_part"),
    ];
    for (kind, name) in messages {
        put("head", name, &behind(kind, &golden(name)?[HEADER_BYTES..]))?;
    }
    for name in ["control_accepted", "control_grant", "control_refused", "control_refused_not_here", "control_waiting"]
    {
        put("head", name, &behind(4, &golden(name)?))?;
    }
    for name in ["page", "page_zstd"] {
        put("page", name, &behind(1, &golden(name)?[HEADER_BYTES..]))?;
    }
    let rows = protocol::page::read_header(&golden("page")?[HEADER_BYTES..]).map(|(_, rows)| behind(0, rows));
    put("page", "plain_rows", &rows.map_err(io::Error::other)?)?;
    for name in ["frames", "frames_zstd"] {
        let both = golden(name)?;
        let length = both.get(1..5).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes) as usize;
        put("frame", name, &behind(0, &both[HEADER_BYTES..HEADER_BYTES + length]))?;
    }
    put("frame", "chained", &[1, 5, 2, 7, 0, 3, b'a', b'b', b'c', 0])?;
    put("frame", "wrong_hash_after", &[1, 5, 2, 7, 7, 3, b'a', b'b', b'c', 0])?;
    // 254 means any four bytes, here 254 again: one entry more than a frame may have, all of them empty.
    put("frame", "one_entry_too_many", &[1, 5, 254, 254, 0, 0, 0, 7, 0, 0])?;
    put(
        "frame",
        "altered",
        &[2, 3, 1, 5, b'h', b'e', b'l', b'l', b'o', 2, 1, b'x', 3, 0, 0, 4, b'h', b'e', b'l', b'l', 9, 0, 4],
    )?;
    for name in ["entry_delete", "entry_group_end", "entry_named_table", "entry_patch", "entry_put", "row"] {
        put("entry", name, &golden(name)?)?;
    }
    // A date whose year has five digits would be written in more bytes than it came in.
    put("entry", "date_beyond_year_9999", &[1, 12, 0xff, 0xfe, 0x21])
}

/// Little programs; what each byte means stands in the target.
fn machines() -> io::Result<()> {
    let device: &[u8] = &[0, 0, 2, 20, 30, 1, 3, 0];
    let head = golden("reply_head")?[HEADER_BYTES..].to_vec();
    let page = golden("page_zstd")?[HEADER_BYTES..].to_vec();
    let section = |kind: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).map_or([0, 0], u16::to_le_bytes);
        [&[kind][..], &length, body].concat()
    };
    put("reply", "golden", &[device, &[50], &section(3, &head), &section(4, &page)].concat())?;
    put("reply", "refusal", &[device, &[50], &section(5, &golden("refusal")?[HEADER_BYTES..])].concat())?;
    put("reply", "web_page", &[device, &[9], &section(0x80, b"<html>please log in</html>")].concat())?;
    let rows: &[u8] = &[2, b'a', b'b', b'c', 2, b'x', b'y', 1, 0, 0, 1, 0, 3, b'd', b'e', b'f', 0, 0, 1, 0, 4];
    let page = [&[3][..], rows, &[6, 4, 0]].concat();
    let whole = [device, &[255, 255, 3, 0, 1, 1, 1], &page, &[0]].concat();
    put("session", "push_and_page", &whole)?;
    put("session", "power_cut", &[device, &[3, 255, 3, 0, 1, 1, 1], &page, &[0]].concat())?;
    put(
        "session",
        "any_head",
        &[device, &[255, 4, 1, 2, 1, 1, 0, 9, 1, 1, 1, 200, 0, 1, 2, 0, 2, 1, 1, 0, 1]].concat(),
    )?;
    put("session", "parts", &[0, 1, 0, 1, 4, 0, 255, 4, 3, 0, 0, 1, 1, 5, 7, 4, 0, 5, 0, 1, 2, 3, 4, 1, 1, 3, 2, 2])?;
    put("session", "refusal", &[device, &[255, 1, 1, 7, 3, b'n', b'o', b'.', 1, 60]].concat())?;
    let receipt: &[u8] = &[255, 1, 1, 7, 3, b'n', b'o', b'.', 0, 1, 1, 2, 2, 1, 100, 0];
    put("session", "receipt", &[device, receipt].concat())?;
    let pushed: &[u8] = &[0, 0, 2, 20, 30, 0, 255, 255];
    put(
        "session",
        "page_before_receipt",
        &[pushed, &[2, 2, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 6, 5, 0]].concat(),
    )?;
    put(
        "session",
        "part_from_the_middle",
        &[pushed, &[2, 0, 0, 1, 1, 5, 0, 5, 0, 4, 1, 2, 3, 4, 1, 0, 2, 0, 2]].concat(),
    )?;
    put(
        "session",
        "part_of_4_gib",
        &[pushed, &[2, 0, 0, 1, 1, 6, 0, 1, 9, 0, 255, 0, 0, 0, 0, 5, 0, 3, 1, 2, 3]].concat(),
    )?;
    put(
        "session",
        "control_at_the_last_number",
        &[pushed, &[1, 2, 255, 0, 1, 0, 0, 0, 0, 0, 2, 1, 0, 1, 0, 0, 0, 0]].concat(),
    )?;
    exchanges()
}

/// A request (its head first, then how many sections, then these, then a cut and the size of its pieces), then what the store
/// answers: two bytes for each question, then what the answer holds.
fn exchanges() -> io::Result<()> {
    let head: &[u8] = &[2, 0, 0, 2, 0, 0, 1, 0, 0];
    let sent: &[u8] = &[0, 0, 0, 0, 9];
    let begun: &[u8] = &[0, 0, 0, 0, 0];
    let concluded = |received: u8| [0, 0, 0, 0, 2, received, 0, 0, 0];
    let rows: &[u8] =
        &[0, 0, 3, 10, 0, 20, 0, 30, 0, 0, 0, 0, 0, 0, 0, 2, 10, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0, 1, 0, 0, 0];
    let frame: &[u8] = &[1, 0, 1, 1, b'a', 1, b'b'];
    let stored: &[u8] = &[0, 0, 0];
    put("exchange", "frame_and_rows", &[head, frame, &sent[1..], begun, stored, &concluded(2), rows].concat())?;
    let later: &[&[u8]] = &[&[7, 9], &head[1..], &[2, 0xff, 0xff]];
    put("exchange", "later_head", &[&later.concat(), frame, &sent[1..], begun, stored, &concluded(2)].concat())?;
    put("exchange", "rows", &[head, sent, begun, &concluded(2), rows].concat())?;
    put("exchange", "rows_before_receipt", &[head, sent, begun, &concluded(1), rows].concat())?;
    let beyond: &[u8] = &[1, 0, 2, 1, b'a', 1, b'b', 1, b'c'];
    put("exchange", "frame_beyond_head", &[head, beyond, &sent[1..], begun, stored].concat())?;
    let part: &[u8] = &[1, 3, 1, 1, 9, 0, 255, 3, 1, 2, 3];
    put("exchange", "part_of_4_gib", &[head, part, &sent[1..], begun, stored].concat())?;
    let parts: &[u8] = &[1, 2, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 3, 100, 100, 100, 100];
    put("exchange", "parts", &[head, parts, &sent[1..], begun, &[0; 12], &concluded(2), rows].concat())?;
    let budget_of_8_kib: &[u8] = &[2, 0, 0, 2, 0, 0, 0, 254, 0, 32, 0, 0, 0, 0];
    let large_row: &[u8] = &[0, 0, 1, 255, 255, 0, 0];
    put("exchange", "large_row", &[budget_of_8_kib, sent, begun, &concluded(2), large_row].concat())?;
    put("exchange", "rubbish", b"\x01\x05<html\x00")
}

/// A byte says what follows: 0 a sealed file, 1 the place of a change, the change, and the content.
fn sticks() -> io::Result<()> {
    let document = fs::read_to_string(root().join("docs/sealed-file-format.md"))?;
    let digits = document.rsplit("```text").next().and_then(|rest| rest.split("```").next()).unwrap_or_default();
    let digits: Vec<u8> = digits.bytes().filter_map(digit).collect();
    let file: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    put("sealed", "document", &behind(0, &file))?;
    put("sealed", "header", &behind(0, &file[..sealed::HEADER_BYTES]))?;
    put("sealed", "another_kind", &behind(0, &[&file[..17], &[3][..], &file[18..]].concat()))?;
    put("sealed", "flipped", &[&[1, 50, 0, 4][..], b"edits of a day"].concat())?;
    put("sealed", "cut", &[&[1, 60, 0, 0][..], b"edits of a day"].concat())?;
    let head = golden("export_head")?[HEADER_BYTES..].to_vec();
    let page = golden("page_zstd")?[HEADER_BYTES..].to_vec();
    let section = |kind: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).map_or([0, 0], u16::to_le_bytes);
        [&[kind][..], &length, body].concat()
    };
    put("export", "golden", &[&[40][..], &section(1, &head), &section(0, &page)].concat())?;
    put("export", "page_before_head", &[&[255][..], &section(0, &page), &section(1, &head)].concat())?;
    put("export", "two_heads", &[&[9][..], &section(1, &head), &section(1, &head)].concat())
}

fn texts() -> io::Result<()> {
    let corpus = fs::read_to_string(root().join("crates/domain/testdata/corpus.ndjson"))?;
    for (number, line) in corpus.lines().enumerate().step_by(6) {
        put("edits", &format!("record_{number}"), line.as_bytes())?;
        put("import", &format!("record_{number}"), line.as_bytes())?;
    }
    let lines = [
        r#"{"table":"unit","op":"put","id":"u1","data":{"ID":"u1","units":"tab","order_number":12.30}}"#,
        "",
        r#"{"table":"unit","op":"patch","id":"u1","data":{"units":null,"extra":{"a":[1,{"b":"\u00e9"}]}}}"#,
        r#"{"table":"unit","op":"upsert","id":"u1","data":{"units":"tab"}}"#,
        r#"{"table":"unit","op":"delete","id":"u1"}"#,
        r#"{"table":"nothing","op":"delete","id":"u1"}"#,
        "nonsense",
    ];
    for target in ["edits", "import"] {
        put(target, "each_operation", lines.join("\n").as_bytes())?;
        put(target, "not_utf8", b"{\"table\":\"unit\",\"op\":\"delete\",\"id\":\"\xff\"}\n")?;
    }
    let agent = fs::read_to_string(root().join("agent.toml.example"))?;
    put("agent_settings", "example", agent.as_bytes())?;
    let table = "[[table]]\nname = \"my_table\"\ntype = \"store\"\nstore_column = \"store_ID\"\n";
    let settings = "data_folder = \"data\"\nlog_level = \"warn\"\n[central]\nurl = \"https://central.example.org:8443/x\"\n[schedule]\nmanual = true\ninterval_s = 60\n[limits]\njournal_bytes_max = 0x8000000\n";
    put("agent_settings", "settings", format!("{settings}{table}").as_bytes())?;
    for (name, url) in
        [("url_v6", "http://[::1]:80"), ("url_port_sign", "https://host:+80"), ("url_host_brace", "https://{}")]
    {
        put("agent_settings", name, url.as_bytes())?;
    }
    put("central_settings", "defaults", central::settings::SETTINGS_TEXT.as_bytes())?;
    let settings = "[log]\nentry_log_days = 30\n[limits]\nexchanges_max = 3\n[timeouts]\nread_idle_ms = 500\n[passwords]\nrounds = 1\n";
    put("central_settings", "settings", format!("{settings}{table}").as_bytes())
}

/// Little programs: how many entries, the size and flags of each, how many alterations, and these.
fn journal() -> io::Result<()> {
    let entries: &[u8] = &[5, 20, 1, 255, 2, 40, 3, 9, 5, 60, 7];
    for (name, alterations) in [
        ("whole", &[0][..]),
        ("bytes_over_an_entry", &[1, 0, 0, 0, 1, 30, 0, 2, 9, 9]),
        ("bytes_over_a_note", &[1, 0, 0, 0, 1, 56, 0, 2, 9, 9]),
        ("forged_entry", &[1, 0, 1, 0, 1, 30, 0, 2, 9, 9]),
        ("value_lost", &[1, 2, 1, 1]),
        ("value_elsewhere", &[1, 3, 7, 0, 0, 0, 1]),
        ("value_of_rubbish", &[1, 4, 2, 0, 3, 1, 2, 3, 0, 0]),
        ("value_cut", &[1, 5, 0, 1, 10, 0]),
        ("segment_lost", &[1, 6, 1, 0]),
        ("segment_renamed", &[1, 6, 1, 1, 6]),
        ("mark_slot_torn", &[1, 7, 0, 0, 20, 0, 3, 1, 2, 3]),
        ("mark_slot_forged", &[1, 7, 1, 0, 53, 0, 1, 3]),
        ("mark_lost", &[1, 8, 0, 0]),
    ] {
        put("journal", name, &[entries, alterations].concat())?;
    }
    Ok(())
}

use outpost::agent::{Agent, Credentials};
use outpost::config::{Config, Sources};
use outpost::operations::{perform, Request, RecordOptions, SyncOptions};
fn main() {
    outpost::allocator::keep_memory_small();
    let args: Vec<String> = std::env::args().collect();
    let config = Config::load(&Sources::of_process(Some(args[1].clone().into()), None)).unwrap();
    let mut agent = Agent::open(config).unwrap();
    for word in &args[2..] {
        let t = std::time::Instant::now();
        let mut events = |p| { if std::env::var("V").is_ok() { eprintln!("{p:?}") } };
        let result = match word.as_str() {
            "enrol" => { let pw = zeroize::Zeroizing::new(std::fs::read_to_string("/tmp/pw").unwrap()); agent = agent.enrol(&Credentials{central: None, site_name: "site7", password: &pw}).unwrap(); Ok(serde_json::json!("enrolled")) }
            "sync" => perform(&agent, Request::Sync(SyncOptions::default()), &mut std::io::empty(), &mut events),
            "initialise" => perform(&agent, Request::Initialise(SyncOptions::default()), &mut std::io::empty(), &mut events),
            "status" => perform(&agent, Request::Status, &mut std::io::empty(), &mut events),
            file => perform(&agent, Request::Record(RecordOptions::default()), &mut std::io::BufReader::new(std::fs::File::open(file).unwrap()), &mut events),
        };
        match result { Ok(v) => println!("{word}: {v} {:?}", t.elapsed()), Err(e) => println!("{word}: {e} {:?}", t.elapsed()) }
        let s = std::fs::read_to_string("/proc/self/status").unwrap(); println!("{}", s.lines().filter(|l| l.starts_with("VmHWM") || l.starts_with("VmRSS")).collect::<Vec<_>>().join(" "));
    }
}

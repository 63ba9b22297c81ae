//! An engine's cache as metrics in the text format of Prometheus, on the loopback interface.
//!
//! `cargo run -p precompile --example metrics -- 30` serves for 30 seconds (10 without a number),
//! and stops by itself; `curl http://127.0.0.1:PORT/metrics` scrapes it meanwhile. Counters come
//! from the engine and its cache; the observer adds what sums do not tell: how long things took.

#![expect(clippy::disallowed_macros, reason = "not a library")]

use precompile::cache::{Event, Layers, Observer};
use precompile::{Config, Engine, Module};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Seconds and numbers of what took time, by what it was.
#[derive(Default)]
struct Times(Mutex<BTreeMap<&'static str, (f64, u64)>>);

impl Observer for Times {
    fn event(&self, event: &Event<'_>) {
        let Some(took) = event.took() else { return };
        let mut times = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (seconds, count) = times.entry(event.name()).or_default();
        *seconds += took.as_secs_f64();
        *count += 1;
    }
}

fn metrics(engine: &Engine, times: &Times) -> String {
    let mut text = String::new();
    let mut line = |name: &str, label: &str, value: f64| {
        // Writing to a string does not fail.
        _ = writeln!(text, "precompile_{name}{label} {value}");
    };
    for (name, count) in engine.cache_stats().unwrap_or_default().named() {
        line(&format!("cache_{name}_total"), "", count as f64);
    }
    for (reason, count) in engine.misses().iter() {
        line("misses_total", &format!("{{reason=\"{reason}\"}}"), count as f64);
    }
    line("compiles_total", "", engine.compile_count() as f64);
    let times = times.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (event, (seconds, count)) in times.iter() {
        let label = format!("{{event=\"{event}\"}}");
        line("cache_seconds_sum", &label, *seconds);
        line("cache_seconds_count", &label, *count as f64);
    }
    text
}

fn answer(mut stream: TcpStream, engine: &Engine, times: &Times) -> std::io::Result<()> {
    // Whoever connects and says nothing is not waited for.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request)?;
    let (status, body) = match request.starts_with("GET /metrics ") {
        true => ("200 OK", metrics(engine, times)),
        false => ("404 Not Found", "only /metrics is here\n".to_string()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn main() -> precompile::Result<()> {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir()?;
    let times = Arc::new(Times::default());
    let layers = Layers::builder().read_write(folder.path().join("cache"));
    let mut config = Config::new();
    config.cache(layers.observer(times.clone()));
    let engine = Engine::new(&config)?;

    // The app: here, one module that is compiled, and found in the cache once it was dropped.
    for _ in 0..2 {
        drop(Module::new(&engine, b"\0asm\x01\0\0\0")?);
    }

    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    println!("http://{}/metrics for {seconds} seconds", listener.local_addr()?);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        match listener.accept() {
            // A client that goes away is its own business.
            Ok((stream, _)) => _ = answer(stream, &engine, &times),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

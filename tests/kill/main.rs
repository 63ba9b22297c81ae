//! Killing the command line at random moments leaves nothing damaged, nothing served wrongly, and
//! no key that cannot be written afterwards.

use precompile::cache::{Layers, Mode};
use precompile::{Config, Engine, Instance, Module, Store};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const KILLS: u32 = 200;
const MODULES: u32 = 4;

/// A module whose `functions` take a while to compile, and whose export says which one it is.
fn module(number: u32, functions: u32) -> Vec<u8> {
    let mut text = format!("(module (func (export \"which\") (result i32) i32.const {number})");
    for i in 0..functions {
        text += &format!(
            "(func (param i32) (result i32)
               (loop $l (br_if $l (i32.and (local.tee 0 (i32.mul (i32.add (local.get 0)
                 (i32.const {i})) (i32.const {number}))) (i32.const 1))))
               (local.get 0))"
        );
    }
    wat::parse_str(text + ")").expect("the text is a module")
}

/// What an engine that may not compile gets from the cache for a module: the number that its
/// code returns, or `None` for a miss.
fn served(cache: &Path, module: &[u8]) -> Option<i32> {
    let mut config = Config::new();
    config.cache(Layers::builder().read_write(cache).mode(Mode::RequireHit));
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, module).ok()?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let which = instance.get_typed_func::<(), i32>(&mut store, "which").unwrap();
    Some(which.call(&mut store, ()).unwrap())
}

fn warm(cache: &Path, file: &Path) -> Command {
    let mut command = Command::new(tests::precompile_binary());
    command.args(["-j", "1", "--cache-dir"]).arg(cache).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn two_hundred_kills_hurt_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let modules: Vec<_> = (0..MODULES)
        .map(|number| {
            let file = dir.path().join(format!("{number}.wasm"));
            let bytes = module(number, 400);
            fs::write(&file, &bytes).unwrap();
            (file, bytes)
        })
        .collect();
    // How long an undisturbed run takes: the moments are spread over that time.
    let start = Instant::now();
    assert!(warm(&dir.path().join("other"), &modules[0].0).status().unwrap().success());
    let mut whole = start.elapsed();

    // A small generator is random enough; the seed is told, so that a failure can be repeated.
    let mut seed = std::process::id();
    println!("seed {seed}");
    let (mut killed, mut finished) = (0, 0);
    for round in 0..KILLS {
        let number = round % MODULES;
        let (file, bytes) = &modules[number as usize];
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let moment = whole.mul_f64(f64::from(seed >> 8) / f64::from(1u32 << 24));
        let mut child = warm(&cache, file).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            finished += 1
        } else {
            killed += 1
        }
        // A machine is busier at one time than at another: about half are to be killed.
        whole = whole.mul_f64(if status.success() { 0.97 } else { 1.03 });
        if let Some(which) = served(&cache, bytes) {
            assert_eq!(which, number as i32, "round {round}: served the code of another module");
            // Start over, so that the next rounds write again.
            fs::remove_dir_all(&cache).unwrap();
        }
    }
    println!("{killed} killed, {finished} finished before");
    assert!(killed > KILLS / 4, "too few were killed for this to say anything");

    for (number, (file, bytes)) in modules.iter().enumerate() {
        assert!(warm(&cache, file).status().unwrap().success(), "a key cannot be written");
        assert_eq!(served(&cache, bytes), Some(number as i32));
    }
    // Nothing half-made is left where entries are.
    let mut config = Config::new();
    config.cache(Layers::builder().read_write(&cache));
    let engine = Engine::new(&config).unwrap();
    for (_, bytes) in &modules {
        Module::new(&engine, bytes).unwrap();
    }
    assert_eq!(engine.compile_count(), 0);
    assert_eq!(engine.cache_stats().unwrap().hits(), u64::from(MODULES));
}

#[test]
fn a_killed_run_frees_its_key_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = (dir.path().join("cache"), dir.path().join("a.wasm"));
    fs::write(&file, module(1, 400)).unwrap();
    let mut child = warm(&cache, &file).spawn().unwrap();
    thread::sleep(Duration::from_millis(30));
    child.kill().unwrap();
    child.wait().unwrap();
    let start = Instant::now();
    assert!(warm(&cache, &file).status().unwrap().success());
    // The wait for a key that somebody holds is two minutes: nothing near it.
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// Sends a signal.
fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args([name, &process.to_string()]).status();
    assert!(status.unwrap().success());
}

/// The process that works on the module of which `cache` is to have an entry: the holder of the one
/// lock there, as the kernel tells.
fn holder(cache: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let lock = fs::read_dir(cache.join(".locks")).ok()?.next()?.ok()?;
    let inode = format!(":{}", lock.metadata().ok()?.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap();
    // 1: FLOCK ADVISORY WRITE <process> <device>:<inode> 0 EOF
    let words = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut ours = words.filter(|words| words[1] == "FLOCK" && words[5].ends_with(&inode));
    ours.next()?[4].parse().ok()
}

/// Runs `file` through the cache, and tells what it did.
fn run(cache: &Path, file: &Path) -> Command {
    let mut command = Command::new(tests::precompile_binary());
    command.args(["run", "-v", "--invoke", "which", "--cache-dir"]).arg(cache).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How often a run compiled, that must have worked.
fn compiles(child: Child, number: u32) -> u32 {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{number}\n"));
    let count = told.lines().find_map(|line| line.split("compiles: ").nth(1)).unwrap();
    count.parse().unwrap()
}

/// One process compiles, others wait for it; it is killed, and one of them goes on at once; and that
/// three times. A holder is stopped first, so that it holds for as long as is needed here.
#[test]
fn a_killed_holder_delays_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, file) = (dir.path().join("cache"), dir.path().join("a.wasm"));
    fs::write(&file, module(1, 6000)).unwrap();
    let wait_for_holder = |not: Option<u32>| {
        let start = Instant::now();
        loop {
            match holder(&cache) {
                Some(process) if Some(process) != not => return (process, start.elapsed()),
                _ => assert!(start.elapsed() < Duration::from_secs(60), "nobody goes on"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    };
    let first = run(&cache, &file).spawn().unwrap();
    let (mut process, _) = wait_for_holder(None);
    assert_eq!(process, first.id());
    signal("-STOP", process);
    assert_eq!(holder(&cache), Some(process), "stopped while it compiles");
    let mut children = vec![first];
    children.extend((0..5).map(|_| run(&cache, &file).spawn().unwrap()));
    // Long enough for all of them to wait, and to look as rarely as they ever do.
    thread::sleep(Duration::from_millis(1500));
    for child in &mut children[1..] {
        assert!(child.try_wait().unwrap().is_none(), "they wait");
    }
    for _ in 0..3 {
        signal("-KILL", process);
        let (next, delay) = wait_for_holder(Some(process));
        assert!(delay < Duration::from_secs(1), "the next one goes on after {delay:?}");
        let place = children.iter().position(|child| child.id() == process).unwrap();
        assert!(!children.remove(place).wait().unwrap().success());
        process = next;
        signal("-STOP", process);
    }
    signal("-CONT", process);
    let counts: Vec<_> = children.into_iter().map(|child| compiles(child, 1)).collect();
    assert_eq!((counts.len(), counts.iter().sum()), (3, 1), "{counts:?}");
    assert_eq!(fs::read_dir(cache.join(".locks")).unwrap().count(), 0);
}

/// In no order, each in a process of its own, and let go at the same moment.
#[test]
fn sixty_four_processes_compile_eight_modules_eight_times() {
    const PROCESSES: u32 = 64;
    const MODULES: u32 = 8;
    let dir = tempfile::tempdir().unwrap();
    let (cache, gate) = (dir.path().join("cache"), dir.path().join("gate"));
    let file = |number: u32| dir.path().join(format!("{number}.wasm"));
    (0..MODULES).for_each(|number| fs::write(file(number), module(number, 400)).unwrap());
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let children: Vec<_> = (0..PROCESSES)
        .map(|process| {
            let number = process * 5 % MODULES;
            let run = run(&cache, &file(number));
            let mut command = Command::new("sh");
            command.args(["-c", "exec \"$@\" <\"$0\""]).arg(&gate).arg(run.get_program());
            command.args(run.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
            (number, command.spawn().unwrap())
        })
        .collect();
    // Who opens it to read waits for somebody who opens it to write.
    thread::sleep(Duration::from_millis(300));
    let open = fs::File::options().write(true).open(&gate).unwrap();
    let total: u32 = children.into_iter().map(|(number, child)| compiles(child, number)).sum();
    drop(open);
    assert_eq!(total, MODULES);
    let locks = fs::read_dir(cache.join(".locks")).unwrap().count();
    assert_eq!(locks, 0, "no lock file stays behind");
}

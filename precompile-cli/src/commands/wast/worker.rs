//! The processes in which scripts run, so that a script that ends its process ends no other.
//!
//! A worker is this program with the same command line and `--worker`. It reads scripts from its
//! standard input, each as a line with its length and then its bytes, and answers in lines of JSON:
//! what it does with the script, an [`Answer`]; then for each directive, as soon as it is over,
//! `null` or what is said of its failure, so that whoever started it knows in which one it died;
//! and at last what failed in threads for which no directive waited, by lines.

use super::Done;
use super::engines::{Engines, Ready};
use precompile_wast::script::forms;
use precompile_wast::{Failure, Outcome, run_with};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Of what a worker says before it dies, this much is told: the end.
const LAST_WORDS: usize = 300;

/// What a worker does with a script.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Runs,
    Skips(String),
    Fails(String),
}

/// Serves as a worker until the input ends.
///
/// # Errors
/// If nobody listens, or what comes in is no script.
pub(super) fn serve(engines: &Engines) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut len = String::new();
    while input.read_line(&mut len)? > 0 {
        let mut source = vec![0; len.trim_end().parse().map_err(io::Error::other)?];
        len.clear();
        input.read_exact(&mut source)?;
        let source = String::from_utf8(source).map_err(io::Error::other)?;
        let engine = match engines.ready(&source) {
            Ok(Ready::Engine(engine)) => engine,
            Ok(Ready::Lacks(what, engine)) => {
                let outcome = run_with(&engine, &source, &engines.options(), &mut |_| {});
                if !outcome.failures.is_empty() {
                    write_line(&mut output, &Answer::Skips(what))?;
                    continue;
                }
                write_line(&mut output, &Answer::Runs)?;
                for _ in 0..outcome.directives {
                    write_line(&mut output, &None::<String>)?;
                }
                write_line(&mut output, &Left::new())?;
                continue;
            }
            Err(problem) => {
                write_line(&mut output, &Answer::Fails(problem))?;
                continue;
            }
        };
        write_line(&mut output, &Answer::Runs)?;
        let mut told = Ok(());
        let mut directives = forms(&source).len();
        let mut left = Left::new();
        run_with(&engine, &source, &engines.options(), &mut |failure| {
            if directives == 0 {
                left.extend(failure.map(|failure| (failure.line, engines.said(&failure.message))));
                return;
            }
            directives -= 1;
            if told.is_ok() {
                let message = failure.map(|failure| engines.said(&failure.message));
                told = write_line(&mut output, &message);
            }
        });
        told?;
        write_line(&mut output, &left)?;
    }
    Ok(())
}

/// What failed behind the last directive: the lines of threads, and what is said of them.
type Left = Vec<(usize, String)>;

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    out.write_all(line.as_bytes())?;
    out.flush()
}

/// Runs a script in this process, where no other can be started.
pub(super) fn run_here(engines: &Engines, source: &str) -> Done {
    match engines.ready(source) {
        Err(problem) => Done::Failed(problem),
        Ok(Ready::Engine(engine)) => {
            let mut outcome = run_with(&engine, source, &engines.options(), &mut |_| {});
            for failure in &mut outcome.failures {
                failure.message = engines.said(&failure.message);
            }
            Done::Ran(outcome)
        }
        Ok(Ready::Lacks(what, engine)) => {
            let outcome = run_with(&engine, source, &engines.options(), &mut |_| {});
            if outcome.failures.is_empty() { Done::Ran(outcome) } else { Done::Skipped(what) }
        }
    }
}

/// A worker, as whoever started it sees it.
pub(super) struct Worker {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Worker {
    /// # Errors
    /// If no process can be started.
    pub(super) fn start() -> io::Result<Worker> {
        let mut args = std::env::args_os().skip(1);
        let mut command = Command::new(std::env::current_exe()?);
        // Behind the name of the command, before whatever ends the options.
        command.args(args.next()).arg("--worker").args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(mut stderr)) = pipes else {
            return Err(io::Error::other("the worker has no pipes"));
        };
        let (sender, lines) = channel();
        thread::Builder::new().spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Who does not listen any more is not interested.
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        })?;
        let errors = thread::Builder::new().spawn(move || {
            let mut bytes = Vec::new();
            _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })?;
        Ok(Worker { child, stdin, lines, errors: Some(errors) })
    }

    /// Runs a script for at most `limit`; how it went, and whether the worker can run another one.
    pub(super) fn run(&mut self, source: &str, limit: Option<Duration>) -> (Done, bool) {
        let forms = forms(source);
        let start = Instant::now();
        let sent = writeln!(self.stdin, "{}", source.len());
        // If it died already, there is no answer.
        _ = sent.and_then(|()| self.stdin.write_all(source.as_bytes()));
        match self.next(start, limit) {
            Ok(Answer::Runs) => {}
            Ok(Answer::Skips(what)) => return (Done::Skipped(what), true),
            Ok(Answer::Fails(problem)) => return (Done::Failed(problem), true),
            Err(problem) => return (Done::Failed(problem), false),
        }
        let mut outcome = Outcome { directives: forms.len(), failures: Vec::new() };
        let mut end = None;
        for form in &forms {
            let failure = match &end {
                None => self.next(start, limit).unwrap_or_else(|problem| {
                    end = Some("not run: the process of the script ended before".to_string());
                    Some(problem)
                }),
                not_run => not_run.clone(),
            };
            outcome.failures.extend(failure.map(|message| form.failure(source, &message)));
        }
        if end.is_none() {
            let left = self.next::<Left>(start, limit).unwrap_or_else(|problem| {
                end = Some(problem.clone());
                vec![(forms.last().map_or(1, |form| form.line(source)), problem)]
            });
            let failure = |(line, message)| Failure { line, directive: "thread".into(), message };
            outcome.failures.extend(left.into_iter().map(failure));
        }
        (Done::Ran(outcome), end.is_none())
    }

    /// The next line; or why there is none, and then the worker has ended.
    fn next<T: serde::de::DeserializeOwned>(
        &mut self,
        start: Instant,
        limit: Option<Duration>,
    ) -> Result<T, String> {
        let line = match limit {
            None => self.lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(limit) => self.lines.recv_timeout(limit.saturating_sub(start.elapsed())),
        };
        match line {
            Ok(line) => serde_json::from_str(&line)
                .map_err(|error| format!("the worker's answer makes no sense: {error}")),
            Err(RecvTimeoutError::Disconnected) => Err(self.last_words()),
            Err(RecvTimeoutError::Timeout) => {
                _ = self.child.kill();
                let limit = limit.unwrap_or_default().as_secs_f64();
                Err(format!("the script takes longer than {limit} s: it was ended (--timeout)"))
            }
        }
    }

    /// How a worker ended that has nothing more to say.
    fn last_words(&mut self) -> String {
        let status = match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let words = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let words = words.trim();
        let from = words.char_indices().rev().nth(LAST_WORDS).map_or(0, |(at, _)| at);
        format!("the process of the script died ({status}): {}", &words[from..])
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It holds nothing that would have to be put away.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

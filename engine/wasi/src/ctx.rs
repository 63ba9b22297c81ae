//! [`WasiCtx`], all that one guest can reach, and its builder.

use crate::fs::OpenDir;
use crate::perms::{DirPerms, FilePerms};
use crate::stdio::{InputStream, OutputStream};
use crate::table::{Descriptor, Table};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

/// The state of one guest: arguments, environment and open descriptors.
///
/// It lives in the embedder's store data; the host functions reach it through
/// the closure given to [`add_to_linker`](crate::add_to_linker). Dropping it
/// closes all that the guest left open.
pub struct WasiCtx {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) table: Table,
    pub(crate) started: Instant,
}

impl WasiCtx {
    /// A builder with nothing in it.
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiCtx").field("args", &self.args).finish_non_exhaustive()
    }
}

/// Says what a guest gets. Nothing of the host is inherited unless asked for:
/// without further calls there are no arguments, no environment, no
/// directories, an empty standard input, and output that goes nowhere.
///
/// ```
/// use precompile_wasi::{MemoryOutputPipe, WasiCtxBuilder};
///
/// let stdout = MemoryOutputPipe::new(4096);
/// let wasi = WasiCtxBuilder::new().arg("guest").env("LANG", "C").stdout(stdout.clone()).build();
/// # drop(wasi);
/// assert!(stdout.contents().is_empty());
/// ```
#[derive(Debug)]
pub struct WasiCtxBuilder {
    args: Vec<String>,
    env: Vec<String>,
    stdin: InputStream,
    stdout: OutputStream,
    stderr: OutputStream,
    preopens: Vec<OpenDir>,
}

impl Default for WasiCtxBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl WasiCtxBuilder {
    /// A builder with nothing in it.
    pub fn new() -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            stdin: InputStream::closed(),
            stdout: OutputStream::discard(),
            stderr: OutputStream::discard(),
            preopens: Vec::new(),
        }
    }

    /// Adds an argument; the first is by custom the program's name. A guest
    /// sees it up to its first NUL.
    pub fn arg(&mut self, arg: impl AsRef<str>) -> &mut Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments, in order.
    pub fn args(&mut self, args: &[impl AsRef<str>]) -> &mut Self {
        for arg in args {
            self.arg(arg);
        }
        self
    }

    /// Adds an environment variable. A name that is there already is kept too,
    /// before the new one.
    pub fn env(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> &mut Self {
        self.env.push(format!("{}={}", name.as_ref(), value.as_ref()));
        self
    }

    /// Adds environment variables, in order.
    pub fn envs(&mut self, env: &[(impl AsRef<str>, impl AsRef<str>)]) -> &mut Self {
        for (name, value) in env {
            self.env(name, value);
        }
        self
    }

    /// Gives the guest the host process's arguments, its own name first.
    /// Those that are not UTF-8 are left out.
    pub fn inherit_args(&mut self) -> &mut Self {
        self.args.extend(std::env::args_os().filter_map(|arg| arg.into_string().ok()));
        self
    }

    /// Gives the guest all of the host process's environment. Variables that
    /// are not UTF-8 are left out.
    #[expect(clippy::disallowed_methods, reason = "the embedder asks for the environment here")]
    pub fn inherit_env(&mut self) -> &mut Self {
        for (name, value) in std::env::vars_os() {
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
                self.env(name, value);
            }
        }
        self
    }

    /// Gives the guest the host's standard input, output and error.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Gives the guest the host's standard input. It is read without a buffer:
    /// what [`std::io::stdin`] holds already is not seen.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.stdin(InputStream::host())
    }

    /// Gives the guest the host's standard output. What [`std::io::stdout`]
    /// holds is flushed before the guest writes.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        self.stdout(OutputStream::host_stdout())
    }

    /// Gives the guest the host's standard error.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.stderr(OutputStream::host_stderr())
    }

    /// Makes a pipe or file the guest's standard input.
    pub fn stdin(&mut self, stream: impl Into<InputStream>) -> &mut Self {
        self.stdin = stream.into();
        self
    }

    /// Makes a pipe or file the guest's standard output.
    pub fn stdout(&mut self, stream: impl Into<OutputStream>) -> &mut Self {
        self.stdout = stream.into();
        self
    }

    /// Makes a pipe or file the guest's standard error.
    pub fn stderr(&mut self, stream: impl Into<OutputStream>) -> &mut Self {
        self.stderr = stream.into();
        self
    }

    /// Opens the host's directory `host_path` and gives it to the guest under
    /// the name `guest_path`, with all below it. The guest's first directory
    /// is descriptor 3. For a read-only one give [`DirPerms::READ`] and
    /// [`FilePerms::READ`].
    ///
    /// # Errors
    /// When the host cannot open the directory.
    pub fn preopened_dir(
        &mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl AsRef<str>,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> io::Result<&mut Self> {
        let dir = OpenDir::preopen(host_path.as_ref())?;
        Ok(self.push_preopen(dir, guest_path.as_ref(), dir_perms, file_perms))
    }

    /// As [`Self::preopened_dir`], for a directory that is open already: for
    /// an embedder that has no paths, or whose paths are in a sandbox too.
    pub fn preopened_open_dir(
        &mut self,
        dir: cap_std::fs::Dir,
        guest_path: impl AsRef<str>,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> &mut Self {
        self.push_preopen(dir.into_std_file(), guest_path.as_ref(), dir_perms, file_perms)
    }

    fn push_preopen(
        &mut self,
        dir: File,
        guest_path: &str,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> &mut Self {
        self.preopens.push(OpenDir {
            dir,
            dir_perms,
            file_perms,
            preopen: Some(guest_path.to_owned()),
        });
        self
    }

    /// Hands over what was collected and leaves the builder as new.
    ///
    /// # Panics
    /// With more than 65,533 preopened directories.
    pub fn build(&mut self) -> WasiCtx {
        let this = std::mem::take(self);
        let mut table = Table::default();
        let stdio = [
            Descriptor::Input(this.stdin),
            Descriptor::Output(this.stdout),
            Descriptor::Output(this.stderr),
        ];
        for descriptor in stdio.into_iter().chain(this.preopens.into_iter().map(Descriptor::Dir)) {
            table.insert(descriptor).expect("more preopened directories than descriptors");
        }
        WasiCtx { args: this.args, env: this.env, table, started: Instant::now() }
    }

    /// [`Self::build`], under the name that wasmtime-wasi has for it.
    ///
    /// # Panics
    /// As [`Self::build`].
    pub fn build_p1(&mut self) -> WasiCtx {
        self.build()
    }
}

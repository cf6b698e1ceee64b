//! A server process: started for the benchmark, gone with it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    ops::{Add, Sub},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, output};

/// A process that is stopped when this value goes, and by the kernel if this program dies without a word.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// A command that starts `program` so that it gets SIGTERM when the thread that starts it ends.
    pub(super) fn command(workspace: &Workspace, program: &std::path::Path) -> Command {
        // util-linux's setpriv becomes the program: the process id stays the same.
        let mut command = workspace.command("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        command
    }

    /// Starts it.
    ///
    /// # Errors
    /// Fails if the program cannot be started.
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    /// The child, for its pipes.
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the port takes connections.
    ///
    /// # Errors
    /// Fails if the process ends before, or after ten seconds.
    pub(super) fn wait_for(&mut self, port: u16) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status})", self.name);
            }
            if start.elapsed() > Duration::from_secs(10) {
                bail!(
                    "{} does not listen on port {port} after ten seconds",
                    self.name
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its resident memory, in bytes.
    ///
    /// # Errors
    /// Fails if it has ended.
    pub(super) fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .with_context(|| format!("{} is not running", self.name))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.context("/proc/PID/status has another form")? << 10)
    }

    /// The processor time of the process, its threads and its children.
    ///
    /// # Errors
    /// Fails if a process has ended.
    pub(super) fn cpu_time(&self) -> Result<CpuTime> {
        let id = self.child.id();
        let mut sum = CpuTime::of(id).with_context(|| format!("{} is not running", self.name))?;
        for process in fs::read_dir("/proc")? {
            let Some(child) = process?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if parent(child) == Some(id) {
                sum = sum + CpuTime::of(child)?;
            }
        }
        Ok(sum)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first: nginx's master process takes its workers with it.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTime {
    /// In the program itself.
    pub(super) user: Duration,
    /// In the kernel on its behalf.
    pub(super) kernel: Duration,
}

impl CpuTime {
    /// Of the processes that this program has started and that have ended.
    ///
    /// # Errors
    /// Fails if `/proc` is not there.
    pub(super) fn of_ended_children() -> Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        Self::parse(&stat, CHILDREN, ticks_a_second()?).context("/proc/PID/stat has another form")
    }

    /// User and kernel together.
    pub(super) fn total(self) -> Duration {
        self.user + self.kernel
    }

    fn of(process: u32) -> Result<Self> {
        let stat = fs::read_to_string(stat_file(process))?;
        Self::parse(&stat, ITSELF, ticks_a_second()?).context("/proc/PID/stat has another form")
    }

    /// Two fields in a row, in ticks; `first` is counted from the one behind the name of the program, which stands in
    /// brackets and may contain blanks.
    fn parse(stat: &str, first: usize, ticks_a_second: u32) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(first);
        let mut time = || {
            Some(Duration::from_secs_f64(
                fields.next()?.parse::<f64>().ok()? / f64::from(ticks_a_second),
            ))
        };
        Some(Self {
            user: time()?,
            kernel: time()?,
        })
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            kernel: self.kernel + other.kernel,
        }
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            kernel: self.kernel - earlier.kernel,
        }
    }
}

/// Where `utime` and `stime` stand in `/proc/PID/stat`.
const ITSELF: usize = 11;
/// Where `cutime` and `cstime` stand.
const CHILDREN: usize = 13;

fn ticks_a_second() -> Result<u32> {
    Ok(output(Command::new("getconf").arg("CLK_TCK"))?.parse()?)
}

/// The process that started this one; `None` if there is no such process any more.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(stat_file(process)).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

fn stat_file(process: u32) -> String {
    format!("/proc/{process}/stat")
}

/// A port of 127.0.0.1 that nobody listens on at this moment.
///
/// # Errors
/// Fails if there is none.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_name_of_the_program() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 250 75 10 20 20 0 3 0 1 1 1";
        let time = |user, kernel| CpuTime {
            user: Duration::from_millis(user),
            kernel: Duration::from_millis(kernel),
        };
        assert_eq!(CpuTime::parse(stat, ITSELF, 100), Some(time(2500, 750)));
        assert_eq!(CpuTime::parse(stat, CHILDREN, 100), Some(time(100, 200)));
        assert_eq!(CpuTime::parse("42 (a", ITSELF, 100), None);
    }
}

//! `probe`: a program for tests, which does what its arguments say; see `sys::fake::steps`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use hosttask_node_runtime::sys::fake::steps::{Actor, FAILED, MISUSED, run};
use hosttask_node_runtime::sys::{self, Job, Launch, Streams, User};

fn main() -> ExitCode {
    if let Some(code) = sys::helper_main(env::args_os().skip(1)) {
        exit(code.cast_unsigned());
    }
    if is_named("uname") {
        exit(uname());
    }
    if is_named("logger") {
        exit(log().map_or(FAILED, |()| 0));
    }
    let mut actor = Real::default();
    exit(run(&mut actor))
}

/// Is a log driver of containerd: writes whose output it is, the output itself, all of stdout first, and `end` to the file
/// that its second argument names.
fn log() -> io::Result<()> {
    let of = |variable, descriptor: &str| env::var(variable).unwrap_or_else(|_| descriptor.into());
    let mut options = fs::OpenOptions::new();
    let mut stdout = options
        .read(true)
        .open(of("CONTAINER_STDOUT", "/dev/fd/3"))?;
    let mut stderr = options.open(of("CONTAINER_STDERR", "/dev/fd/4"))?;
    // What is written says the same as closing it, which safe code cannot do with what it was started with.
    let mut ready = fs::OpenOptions::new();
    let mut ready = ready.write(true).open(of("CONTAINER_WAIT", "/dev/fd/5"))?;
    ready.write_all(b"x")?;
    drop(ready);
    let file = env::args().nth(2).ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = fs::File::create(file)?;
    let whose = ["CONTAINER_NAMESPACE", "CONTAINER_ID"].map(|it| env::var(it).unwrap_or_default());
    writeln!(file, "{}", whose.join("/"))?;
    io::copy(&mut stdout, &mut file)?;
    io::copy(&mut stderr, &mut file)?;
    writeln!(file, "end")
}

/// Whether this is a copy of the program with this name.
fn is_named(name: &str) -> bool {
    let program = env::current_exe().ok();
    program.is_some_and(|it| it.file_stem().is_some_and(|stem| stem == name))
}

/// Answers as the `uname` of the image does with which Kubernetes tests HostProcess containers: to `-o`, and to nothing else.
fn uname() -> u32 {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments != ["-o"] {
        return MISUSED;
    }
    let written = writeln!(io::stdout(), "MS/Windows");
    if written.is_ok() { 0 } else { FAILED }
}

/// Ends with the whole 32-bit code where the system has that many bits.
#[expect(clippy::exit, reason = "`ExitCode` has eight bits")]
fn exit(code: u32) -> ! {
    process::exit(code.cast_signed())
}

/// A real process.
#[derive(Default)]
struct Real {
    children: BTreeMap<u32, Child>,
    memory: Vec<Vec<u8>>,
    jobs: Vec<Arc<dyn Job>>,
    files: Vec<fs::File>,
}

impl Real {
    /// The program itself, with other steps.
    fn command(steps: &[String]) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.args(steps);
        Ok(command)
    }
}

impl Actor for Real {
    fn print(&mut self, text: &[u8]) -> io::Result<()> {
        let mut stream = io::stdout();
        stream.write_all(text)?;
        stream.flush()
    }

    fn complain(&mut self, text: &[u8]) -> io::Result<()> {
        io::stderr().write_all(text)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::stdin().read(buffer)
    }

    fn sleep(&mut self, time: Duration) -> io::Result<()> {
        thread::sleep(time);
        Ok(())
    }

    fn ignore(&mut self) -> io::Result<()> {
        sys::on_interrupt(Arc::new(AtomicBool::new(false)))
    }

    fn on_interrupt(&mut self, code: u32, linger: Duration) -> io::Result<()> {
        let flag = Arc::new(AtomicBool::new(false));
        sys::on_interrupt(Arc::clone(&flag))?;
        thread::spawn(move || {
            while !flag.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(2));
            }
            thread::sleep(linger);
            exit(code)
        });
        Ok(())
    }

    fn start(&mut self, steps: &[String], break_away: bool) -> io::Result<u32> {
        let mut command = Self::command(steps)?;
        if break_away {
            sys::break_away(&mut command);
        }
        // Where leaving is forbidden, the child is started all the same, so that a test sees where it is.
        let child = command
            .spawn()
            .or_else(|_| Self::command(steps).and_then(|mut command| command.spawn()))?;
        let pid = child.id();
        self.children.insert(pid, child);
        Ok(pid)
    }

    fn wait(&mut self, pid: u32) -> io::Result<u32> {
        let child = self.children.get_mut(&pid);
        let status = child.ok_or(io::ErrorKind::NotFound)?.wait()?;
        // A signal is no code: 255, which no test uses.
        Ok(status.code().map_or(255, i32::cast_unsigned))
    }

    fn hold(&mut self, name: &str, steps: &[String]) -> io::Result<u32> {
        let host = sys::native()?;
        let identity = host.log_on(&User::Inherit, name)?;
        let program = env::current_exe()?.to_string_lossy().into_owned();
        let launch = Launch {
            arguments: [program.clone()].iter().chain(steps).cloned().collect(),
            // No step has a blank or a quote in it.
            command_line: format!("\"{program}\" {}", steps.join(" ")),
            program,
            directory: self.directory()?,
            environment: env::vars().collect(),
            console: None,
            suspended: false,
            drop_privileges: BTreeSet::new(),
        };
        let job = host.create_job(name)?;
        let process = job.spawn(&launch, Streams::default(), identity.as_ref())?;
        self.jobs.push(job);
        Ok(process.id().pid)
    }

    fn allocate(&mut self, mib: u32) -> io::Result<()> {
        let size = usize::try_from(u64::from(mib) << 20).map_err(io::Error::other)?;
        let mut memory = Vec::new();
        let reserved = memory.try_reserve_exact(size);
        reserved.map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
        memory.resize(size, 1);
        self.memory.push(memory);
        Ok(())
    }

    fn keep(&mut self, file: fs::File) {
        self.files.push(file);
    }

    fn burn(&mut self, time: Duration) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        env::args().collect()
    }

    fn environment(&self) -> String {
        let variables: BTreeMap<_, _> = env::vars().collect();
        serde_json::to_string(&variables).unwrap_or_default()
    }

    fn directory(&self) -> io::Result<String> {
        Ok(env::current_dir()?.to_string_lossy().into_owned())
    }

    fn pid(&self) -> u32 {
        process::id()
    }

    fn handles(&self) -> io::Result<Option<Vec<u32>>> {
        // Wine shows a folder of Linux, which says nothing about handles of Windows.
        if std::path::MAIN_SEPARATOR != '/' {
            return Ok(None);
        }
        let Ok(entries) = fs::read_dir("/proc/self/fd") else {
            return Ok(None);
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let entry = entry?;
            // The one that reads the folder leads to the folder itself.
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let number = entry.file_name().to_string_lossy().parse::<u32>();
            if !target.starts_with("/proc") {
                numbers.extend(number.ok());
            }
        }
        numbers.sort_unstable();
        Ok(Some(numbers))
    }
}

//! The steps of `probe`: what a program for tests is told to do, one after the other, by its arguments.
//!
//! The real `probe` and the processes of the fake host read the same steps, so that one test runs on every backend.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The exit code of a `probe` whose steps are none.
pub const MISUSED: u32 = 64;
/// The exit code of a `probe` that failed at a step; it says at which on its third stream.
pub const FAILED: u32 = 70;
/// The exit code of a `probe` that got no memory.
pub const NO_MEMORY: u32 = 71;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `exit N`: ends with this code.
    Exit(u32),
    /// `print TEXT`: to the second stream, with a line end.
    Print(String),
    /// `complain TEXT`: to the third stream, with a line end.
    Complain(String),
    /// `flood MIB`: so much to the second stream.
    Flood(u32),
    /// `echo`: copies the first stream to the second until its end.
    Echo,
    /// `hang`: does nothing for ever.
    Hang,
    /// `sleep MS`.
    Sleep(Duration),
    /// `ignore`: from now on, ignores being asked to end.
    Ignore,
    /// `linger MS`: how long the next `on-interrupt` takes.
    Linger(Duration),
    /// `on-interrupt N`: from now on, ends with this code when asked to end.
    OnInterrupt(u32),
    /// `child STEPS… ;`: starts itself with these steps and waits; ends as it does, unless it ended with 0.
    Child(Vec<String>),
    /// `leave STEPS… ;`: starts itself with these steps and does not wait.
    Leave(Vec<String>),
    /// `detach STEPS… ;`: as `leave`, and tries to get the child out of the job.
    Detach(Vec<String>),
    /// `hold NAME STEPS… ;`: makes a job of this name, starts itself in it with these steps, prints the number of that
    /// process, and holds the job until it ends itself.
    Hold(String, Vec<String>),
    /// `tree N`: starts so many descendants that hang, as a tree of two branches, and does not wait.
    Tree(u32),
    /// `allocate MIB`: keeps so much memory.
    Allocate(u32),
    /// `burn MS`: uses the processor.
    Burn(Duration),
    /// `arguments`: prints all arguments as JSON. What follows is not executed.
    Arguments,
    /// `environment`: prints the environment as JSON.
    Environment,
    /// `directory`: prints the folder it is in.
    Directory,
    /// `pid`: prints its number.
    Pid,
    /// `handles`: prints which descriptors are open, as JSON; null where the system does not tell.
    Handles,
    /// `ready FILE`: makes a file.
    Ready(String),
    /// `await FILE`: waits until a file exists.
    Await(String),
    /// `lock FILE`: makes a file and locks it until the process has ended.
    Lock(String),
    /// `write FILE TEXT`: writes a file.
    Write(String, String),
    /// `show FILE`: prints a file.
    Show(String),
}

/// What steps are done with: a real process, or a thread of the fake host.
pub trait Actor {
    /// Writes to the second stream.
    fn print(&mut self, text: &[u8]) -> io::Result<()>;
    /// Writes to the third stream.
    fn complain(&mut self, text: &[u8]) -> io::Result<()>;
    /// Reads from the first stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Sleeps. An error where the process has ended meanwhile.
    fn sleep(&mut self, time: Duration) -> io::Result<()>;
    /// Ignores being asked to end.
    fn ignore(&mut self) -> io::Result<()>;
    /// Ends with a code when asked to end, after a while.
    fn on_interrupt(&mut self, code: u32, linger: Duration) -> io::Result<()>;
    /// Starts itself with other steps. Returns the number of the process.
    fn start(&mut self, steps: &[String], break_away: bool) -> io::Result<u32>;
    /// Waits for a process it started.
    fn wait(&mut self, pid: u32) -> io::Result<u32>;
    /// Makes a job and starts itself in it. Returns the number of the process.
    fn hold(&mut self, name: &str, steps: &[String]) -> io::Result<u32>;
    /// Keeps memory.
    fn allocate(&mut self, mib: u32) -> io::Result<()>;
    /// Keeps a file open.
    fn keep(&mut self, file: fs::File);
    /// Uses the processor.
    fn burn(&mut self, time: Duration) -> io::Result<()>;
    /// All arguments, the name of the program first.
    fn arguments(&self) -> Vec<String>;
    /// The environment as JSON.
    fn environment(&self) -> String;
    /// The folder it is in.
    fn directory(&self) -> io::Result<String>;
    /// Its number.
    fn pid(&self) -> u32;
    /// The open descriptors; none where the system does not tell.
    fn handles(&self) -> io::Result<Option<Vec<u32>>>;
}

/// Reads the steps from arguments, the name of the program left out.
pub fn parse(arguments: &[String]) -> Result<Vec<Step>, String> {
    let mut reader = Reader { rest: arguments };
    let mut steps = Vec::new();
    while let Some(word) = reader.next() {
        let step = reader.step(word)?;
        let is_last = step == Step::Arguments;
        steps.push(step);
        if is_last {
            break;
        }
    }
    Ok(steps)
}

/// Does the steps that the arguments ask for. Returns the exit code.
pub fn run(actor: &mut dyn Actor) -> u32 {
    let arguments = actor.arguments();
    let steps = match parse(arguments.get(1..).unwrap_or_default()) {
        Ok(steps) => steps,
        Err(problem) => {
            let _ = actor.complain(format!("{problem}\n").as_bytes());
            return MISUSED;
        }
    };
    let mut linger = Duration::ZERO;
    for step in steps {
        match perform(actor, &step, &mut linger) {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return NO_MEMORY,
            Err(error) => {
                let name = format!("{step:?}");
                let name = name.split(['(', ' ']).next().unwrap_or_default();
                let _ = actor.complain(format!("{name}: {error}\n").as_bytes());
                return FAILED;
            }
        }
    }
    0
}

/// Does one step. Returns the exit code if it is the last.
fn perform(actor: &mut dyn Actor, step: &Step, linger: &mut Duration) -> io::Result<Option<u32>> {
    match step {
        Step::Exit(code) => return Ok(Some(*code)),
        Step::Print(text) => actor.print(format!("{text}\n").as_bytes())?,
        Step::Complain(text) => actor.complain(format!("{text}\n").as_bytes())?,
        Step::Flood(mib) => flood(actor, *mib)?,
        Step::Echo => echo(actor)?,
        Step::Hang => loop {
            actor.sleep(Duration::from_hours(1))?;
        },
        Step::Sleep(time) => actor.sleep(*time)?,
        Step::Ignore => actor.ignore()?,
        Step::Linger(time) => *linger = *time,
        Step::OnInterrupt(code) => actor.on_interrupt(*code, *linger)?,
        Step::Child(steps) => {
            let child = actor.start(steps, false)?;
            let code = actor.wait(child)?;
            return Ok(Some(code).filter(|code| *code != 0));
        }
        Step::Leave(steps) => drop(actor.start(steps, false)?),
        Step::Detach(steps) => drop(actor.start(steps, true)?),
        Step::Hold(name, steps) => {
            let pid = actor.hold(name, steps)?;
            actor.print(format!("{pid}\n").as_bytes())?;
        }
        Step::Tree(count) => tree(actor, *count)?,
        Step::Allocate(mib) => actor.allocate(*mib)?,
        Step::Burn(time) => actor.burn(*time)?,
        Step::Arguments => {
            let text = serde_json::to_string(&actor.arguments())?;
            actor.print(format!("{text}\n").as_bytes())?;
        }
        Step::Environment => actor.print(format!("{}\n", actor.environment()).as_bytes())?,
        Step::Directory => actor.print(format!("{}\n", actor.directory()?).as_bytes())?,
        Step::Pid => actor.print(format!("{}\n", actor.pid()).as_bytes())?,
        Step::Handles => {
            let text = serde_json::to_string(&actor.handles()?)?;
            actor.print(format!("{text}\n").as_bytes())?;
        }
        Step::Ready(file) => fs::write(file, "")?,
        Step::Await(file) => {
            while !Path::new(file).exists() {
                actor.sleep(Duration::from_millis(2))?;
            }
        }
        Step::Lock(file) => {
            let file = fs::File::create(file)?;
            file.lock()?;
            actor.keep(file);
        }
        Step::Write(file, text) => fs::write(file, text)?,
        Step::Show(file) => actor.print(&fs::read(file)?)?,
    }
    Ok(None)
}

/// Prints lines of 64 characters.
fn flood(actor: &mut dyn Actor, mib: u32) -> io::Result<()> {
    let lines = format!("{}\n", "x".repeat(63)).repeat(1024);
    for _ in 0..u64::from(mib) * 16 {
        actor.print(lines.as_bytes())?;
    }
    Ok(())
}

/// Copies what it reads.
fn echo(actor: &mut dyn Actor) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = actor.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(read) if count > 0 => actor.print(read)?,
            _ => return Ok(()),
        }
    }
}

/// Starts a tree of descendants that hang.
fn tree(actor: &mut dyn Actor, count: u32) -> io::Result<()> {
    let below = count.saturating_sub(2);
    let branches = [
        (count > 0).then_some(below / 2),
        (count > 1).then_some(below - below / 2),
    ];
    for branch in branches.into_iter().flatten() {
        let steps = ["tree".to_owned(), branch.to_string(), "hang".to_owned()];
        actor.start(&steps, false)?;
    }
    Ok(())
}

/// Reads steps.
struct Reader<'a> {
    rest: &'a [String],
}

impl<'a> Reader<'a> {
    /// The next word.
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The next word, which a step needs.
    fn text(&mut self, step: &str) -> Result<String, String> {
        let word = self.next();
        word.map(str::to_owned)
            .ok_or_else(|| format!("the step {step:?} lacks an argument"))
    }

    /// The next number.
    fn number(&mut self, step: &str) -> Result<u32, String> {
        let word = self.text(step)?;
        word.parse()
            .map_err(|_| format!("the step {step:?} needs a number, not {word:?}"))
    }

    /// The next number, of milliseconds.
    fn time(&mut self, step: &str) -> Result<Duration, String> {
        let milliseconds = self.number(step)?;
        Ok(Duration::from_millis(u64::from(milliseconds)))
    }

    /// Steps of another process, up to the `;` that belongs to this step.
    fn block(&mut self, step: &str) -> Result<Vec<String>, String> {
        let start = self.rest;
        loop {
            let length = start.len() - self.rest.len();
            match self.next() {
                None => return Err(format!("the step {step:?} lacks a \";\" at its end")),
                Some(";") => return Ok(start.get(..length).unwrap_or_default().to_vec()),
                Some(word) => drop(self.step(word)?),
            }
        }
    }

    /// The step of this name.
    fn step(&mut self, word: &str) -> Result<Step, String> {
        Ok(match word {
            "exit" => Step::Exit(self.number(word)?),
            "print" => Step::Print(self.text(word)?),
            "complain" => Step::Complain(self.text(word)?),
            "flood" => Step::Flood(self.number(word)?),
            "echo" => Step::Echo,
            "hang" => Step::Hang,
            "sleep" => Step::Sleep(self.time(word)?),
            "ignore" => Step::Ignore,
            "linger" => Step::Linger(self.time(word)?),
            "on-interrupt" => Step::OnInterrupt(self.number(word)?),
            "child" => Step::Child(self.block(word)?),
            "leave" => Step::Leave(self.block(word)?),
            "detach" => Step::Detach(self.block(word)?),
            "hold" => Step::Hold(self.text(word)?, self.block(word)?),
            "tree" => Step::Tree(self.number(word)?),
            "allocate" => Step::Allocate(self.number(word)?),
            "burn" => Step::Burn(self.time(word)?),
            "arguments" => Step::Arguments,
            "environment" => Step::Environment,
            "directory" => Step::Directory,
            "pid" => Step::Pid,
            "handles" => Step::Handles,
            "ready" => Step::Ready(self.text(word)?),
            "await" => Step::Await(self.text(word)?),
            "lock" => Step::Lock(self.text(word)?),
            "write" => Step::Write(self.text(word)?, self.text(word)?),
            "show" => Step::Show(self.text(word)?),
            other => return Err(format!("there is no step {other:?}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_block_ends_at_its_own_semicolon() {
        let steps = parse(&words("child leave print ; ; hang ; exit 3010")).unwrap();
        let block = words("leave print ; ; hang");
        assert_eq!(steps, [Step::Child(block), Step::Exit(3010)]);
    }

    #[test]
    fn what_is_no_step_is_refused() {
        for line in ["dance", "exit", "exit x", "exit 4294967296", "child hang"] {
            assert!(parse(&words(line)).is_err(), "{line}");
        }
        assert_eq!(
            parse(&words("exit 4294967295")).unwrap(),
            [Step::Exit(u32::MAX)]
        );
    }

    #[test]
    fn what_follows_arguments_is_not_read() {
        assert_eq!(
            parse(&words("arguments any thing")).unwrap(),
            [Step::Arguments]
        );
    }
}

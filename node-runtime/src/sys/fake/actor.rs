//! `probe` as a program of the fake host.

use std::fs::File;
use std::io;
use std::time::Duration;

use super::process::{FakeProcess, Reaction};
use super::steps::Actor;
use crate::sys::ProcessId;

/// Does the steps in a process of the fake.
pub(super) struct FakeActor<'a> {
    pub(super) process: &'a FakeProcess,
    pub(super) files: Vec<File>,
}

impl Actor for FakeActor<'_> {
    fn print(&mut self, text: &[u8]) -> io::Result<()> {
        self.process.write(1, text)
    }

    fn complain(&mut self, text: &[u8]) -> io::Result<()> {
        self.process.write(2, text)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.process.read(buffer)
    }

    fn sleep(&mut self, time: Duration) -> io::Result<()> {
        self.process.sleep(time)
    }

    fn ignore(&mut self) -> io::Result<()> {
        self.process.react(Reaction::Ignore)
    }

    fn on_interrupt(&mut self, code: u32, linger: Duration) -> io::Result<()> {
        self.process.react(Reaction::Exit(code, linger))
    }

    fn start(&mut self, steps: &[String], _break_away: bool) -> io::Result<u32> {
        let child = self.process.start(&self.process.launch().program, steps)?;
        Ok(child.pid)
    }

    fn wait(&mut self, pid: u32) -> io::Result<u32> {
        self.process.wait(ProcessId {
            pid,
            started: u64::from(pid) * 1000,
        })
    }

    fn hold(&mut self, _name: &str, _steps: &[String]) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&mut self, mib: u32) -> io::Result<()> {
        self.process.allocate(u64::from(mib) << 20)
    }

    fn keep(&mut self, file: File) {
        self.files.push(file);
    }

    fn burn(&mut self, time: Duration) -> io::Result<()> {
        self.process.burn(time)
    }

    fn arguments(&self) -> Vec<String> {
        self.process.launch().arguments.clone()
    }

    fn environment(&self) -> String {
        serde_json::to_string(&self.process.launch().environment).unwrap_or_default()
    }

    fn directory(&self) -> io::Result<String> {
        Ok(self.process.launch().directory.clone())
    }

    fn pid(&self) -> u32 {
        self.process.id().pid
    }

    fn handles(&self) -> io::Result<Option<Vec<u32>>> {
        Ok(None)
    }
}

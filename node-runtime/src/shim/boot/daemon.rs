//! `serve`: the shim itself. Its standard output leads to the `start` that started it until it is ready.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::arguments::{Options, Serve};
use super::bundle::{self, Bundle};
use super::error::CommandError;
use crate::keeper::boot::{say_failure, say_ready};
use crate::keeper::protocol::{Failure, Kind, chain};
use crate::log::Level;
use crate::shim::address;
use crate::shim::log_pipe::{Lines, Target};
use crate::shim::publisher::{Publish, Publisher};
use crate::shim::service::{Setup, Shim};
use crate::sys::{self, Host, Listener, ProcessId};
use crate::ttrpc::{self, Call, Code, Service, Status};

/// How long a shim stays that has neither a task nor a client. containerd connects when `start` has answered, and stays
/// connected as long as it has a use for it; where it never did, or was ended, nobody will ever ask.
const UNUSED: Duration = Duration::from_secs(30);

/// How long events and lines may take to be sent when everything else is over: less than `delete` waits for a shim that leaves.
const LAST_EVENTS: Duration = Duration::from_secs(1);
const LAST_LINES: Duration = Duration::from_millis(300);

/// What the panic hook writes to; it is installed before there is a log.
type Heard = Arc<OnceLock<Lines>>;

/// Serves until it is told to shut down and has nothing left.
pub(super) fn serve(options: &Options, serve: &Serve) -> Result<(), CommandError> {
    let bundle = Bundle::open(options.bundle.as_deref())?;
    let heard = Heard::default();
    listen_for_panics(bundle.0.clone(), Arc::clone(&heard));
    let prepared = Daemon::prepare(options, serve, &bundle, &heard);
    let (daemon, listener) = prepared.inspect_err(|error| {
        let kind = if matches!(error, CommandError::Taken { .. }) {
            Kind::AlreadyExists
        } else {
            Kind::Internal
        };
        // Where nobody hears it, nobody waits for it.
        drop(say_failure(&mut io::stdout(), &Failure::new(kind, error)));
    })?;
    // A start that was ended hears nothing: then nobody knows this shim, and it leaves.
    say_ready(&mut io::stdout()).map_err(CommandError::Print)?;
    let served = daemon.serve(listener);
    daemon.finish(&bundle);
    served.map_err(CommandError::file("serve", &serve.socket))
}

/// A panic is said to whoever listens: to `start` before the shim is ready, to the log, and to a file for `delete`.
fn listen_for_panics(bundle: PathBuf, heard: Heard) {
    std::panic::set_hook(Box::new(move |panic| {
        let said = format!("{panic}\n");
        drop(bundle::keep_panic(&bundle, &said));
        if let Some(lines) = heard.get() {
            lines.say(Level::Error, said.trim_end());
        }
        let mut output = io::stdout();
        drop(
            output
                .write_all(said.as_bytes())
                .and_then(|()| output.flush()),
        );
    }));
}

/// A shim with all it needs.
struct Daemon {
    shim: Arc<Shim>,
    publisher: Arc<Publisher>,
    lines: Lines,
    interrupted: Arc<AtomicBool>,
    front: Arc<Front>,
    process: ProcessId,
}

impl Daemon {
    fn prepare(
        options: &Options,
        serve: &Serve,
        bundle: &Bundle,
        heard: &Heard,
    ) -> Result<(Self, Box<dyn Listener>), CommandError> {
        let interrupted = Arc::new(AtomicBool::new(false));
        sys::on_interrupt(Arc::clone(&interrupted)).map_err(CommandError::Host)?;
        let host = sys::native().map_err(CommandError::Host)?;
        // First of all: where another shim of this name lives, its records are not to be touched.
        let listener = host.listen(&serve.socket).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return CommandError::Taken {
                    address: serve.socket.clone(),
                };
            }
            CommandError::file("serve", &serve.socket)(source)
        })?;
        let lines = log(&host, options, bundle)?;
        // Nobody else sets it.
        drop(heard.set(lines.clone()));
        let says = lines.clone();
        let publisher = Publisher::start(
            Arc::clone(&host),
            options.namespace.as_str(),
            serve.events.clone(),
            Box::new(move |message| says.say(Level::Error, message)),
        );
        let publisher = Arc::new(publisher.map_err(CommandError::Thread)?);
        let root = Path::new(&serve.state_root);
        let process = sys::own_process().map_err(CommandError::Host)?;
        let shim = Shim::new(Setup {
            host: Arc::clone(&host),
            namespace: options.namespace.to_string(),
            id: options.id.to_string(),
            state_root: root.to_path_buf(),
            publisher: Arc::clone(&publisher) as Arc<dyn Publish>,
            keeper: Some(process),
        })?;
        std::env::set_current_dir(root).map_err(CommandError::file("change to", root))?;
        let front = Front {
            shim: Arc::clone(&shim),
            lines: lines.clone(),
            debug: options.debug,
            clients: AtomicUsize::new(0),
            was_asked: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        };
        let daemon = Self {
            shim,
            publisher,
            lines,
            interrupted,
            front: Arc::new(front),
            process,
        };
        Ok((daemon, listener))
    }

    fn serve(&self, listener: Box<dyn Listener>) -> io::Result<()> {
        let uses = Mutex::new(Uses::new(Instant::now()));
        let is_over = || {
            let is_used = self.front.is_used();
            let mut uses = uses.lock().unwrap_or_else(PoisonError::into_inner);
            if self.shim.is_over() || self.interrupted.load(Ordering::Relaxed) {
                self.front.is_leaving.store(true, Ordering::SeqCst);
                return true;
            }
            let now = Instant::now();
            // Who came at the last moment has had a use for it just now.
            uses.are_over(is_used, now) && uses.are_over(!self.front.leaves_unused(), now)
        };
        let front = Arc::clone(&self.front);
        let served = ttrpc::serve(listener, front, &is_over);
        if let Err(error) = &served {
            self.lines.say(Level::Error, &chain(error));
        }
        served
    }

    /// Sends what is left to be sent, and removes what told of the shim.
    fn finish(&self, bundle: &Bundle) {
        let lost = self.publisher.finish(LAST_EVENTS);
        if lost > 0 {
            let message = format!("{lost} events were not taken by containerd before the end");
            self.lines.say(Level::Error, &message);
        }
        self.lines.finish(LAST_LINES);
        bundle.forget(self.process);
    }
}

/// The log, where containerd reads it. A shim without one does its work all the same.
fn log(host: &Arc<dyn Host>, options: &Options, bundle: &Bundle) -> Result<Lines, CommandError> {
    let pipe = address::of_log(&host.places(), &options.namespace, &options.id);
    let (target, failed) = match pipe.map(|address| host.listen(&address)) {
        Some(Ok(listener)) => (Target::Pipe(listener), None),
        Some(Err(error)) => (Target::File(bundle.log()), Some(error)),
        None => (Target::File(bundle.log()), None),
    };
    let name = format!("shim {}/{}", options.namespace, options.id);
    let lines = Lines::start(Arc::clone(host), &name, target).map_err(CommandError::Thread)?;
    if let Some(error) = failed {
        let message = format!("the log pipe could not be served: {error}\n");
        drop(bundle::keep_panic(&bundle.0, &message));
    }
    Ok(lines)
}

/// When somebody last had a use for the shim.
struct Uses {
    last: Instant,
}

impl Uses {
    fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// Whether nobody has had one for so long that nobody will.
    fn are_over(&mut self, is_used: bool, now: Instant) -> bool {
        if is_used {
            self.last = now;
        }
        now.saturating_duration_since(self.last) >= UNUSED
    }
}

/// What answers calls: the shim, with a line in the log for those that failed.
struct Front {
    shim: Arc<Shim>,
    lines: Lines,
    debug: bool,
    clients: AtomicUsize,
    /// Whether there was a call since that was looked at last.
    was_asked: AtomicBool,
    /// Whether nothing is served any more but calls under way.
    is_leaving: AtomicBool,
}

impl Front {
    /// Whether somebody has a use for the shim, or had since this was asked last.
    fn is_used(&self) -> bool {
        let was_asked = self.was_asked.swap(false, Ordering::SeqCst);
        was_asked || self.clients.load(Ordering::Acquire) > 0 || self.shim.has_tasks()
    }

    /// Leaves, unless somebody came meanwhile. Whoever asks is seen here, or sees that the shim leaves: each says so first, and
    /// looks for the other then.
    fn leaves_unused(&self) -> bool {
        self.is_leaving.store(true, Ordering::SeqCst);
        let is_used = self.is_used();
        if is_used {
            self.is_leaving.store(false, Ordering::SeqCst);
        }
        !is_used
    }

    /// A `start` that finds a shim which is about to leave has to start another one.
    fn check_stays(&self, method: &str) -> Result<(), Status> {
        let leaves = self.is_leaving.load(Ordering::SeqCst) || self.shim.is_over();
        if method == "Connect" && leaves {
            let message = "the shim is about to leave; start another one";
            return Err(Status::new(Code::Unavailable, message));
        }
        Ok(())
    }
}

impl Service for Front {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        self.was_asked.store(true, Ordering::SeqCst);
        let stays = self.check_stays(call.method);
        let answer = stays.and_then(|()| self.shim.call(call));
        let level = match &answer {
            // containerd asks for what may be gone as a matter of course, and is told so.
            Err(status) if status.code == Code::NotFound && !self.debug => return answer,
            Ok(_) if !self.debug => return answer,
            Err(_) => Level::Error,
            Ok(_) => Level::Info,
        };
        let came = answer
            .as_ref()
            .err()
            .map_or_else(|| "done".to_owned(), Status::to_string);
        self.lines.say(level, &format!("{}: {came}", call.method));
        answer
    }

    fn clients(&self, count: usize) {
        self.clients.store(count, Ordering::Release);
    }

    fn waits(&self, service: &str, method: &str) -> bool {
        self.shim.waits(service, method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeHost;
    use crate::ttrpc::Caller;

    #[test]
    fn a_shim_is_over_once_nobody_had_a_use_for_it_for_half_a_minute() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut uses = Uses::new(begin);
        assert!(!uses.are_over(false, at(29)));
        assert!(!uses.are_over(true, at(40)));
        assert!(!uses.are_over(true, at(400)));
        assert!(!uses.are_over(false, at(429)));
        assert!(uses.are_over(false, at(430)));
    }

    #[test]
    fn a_shim_that_is_about_to_leave_says_so_to_a_start_that_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let host: Arc<dyn Host> = Arc::new(FakeHost::new());
        let lines = Target::File(folder.path().join("log"));
        let publisher = Publisher::start(Arc::clone(&host), "k8s.io", None, Box::new(|_| ()));
        let shim = Shim::new(Setup {
            host: Arc::clone(&host),
            namespace: "k8s.io".to_owned(),
            id: "web".to_owned(),
            state_root: folder.path().join("state"),
            publisher: Arc::new(publisher.unwrap()),
            keeper: None,
        });
        let front = Front {
            shim: shim.unwrap(),
            lines: Lines::start(host, "shim", lines).unwrap(),
            debug: false,
            clients: AtomicUsize::new(0),
            was_asked: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        };
        let ask = |method| {
            // The first field of each request is the name.
            let payload = b"\n\x03web";
            let (service, timeout, caller) = ("containerd.task.v3.Task", None, Caller::default());
            let answer = front.call(&Call {
                service,
                method,
                payload,
                timeout,
                caller,
            });
            answer.map(drop).map_err(|status| status.code)
        };
        assert!(!front.is_used());
        assert_eq!(ask("Connect"), Ok(()));
        assert!(!front.leaves_unused(), "somebody came just now");
        assert_eq!(ask("Connect"), Ok(()));
        assert!(front.is_used());
        assert!(front.leaves_unused());
        assert_eq!(ask("Connect"), Err(Code::Unavailable));
        assert!(!front.leaves_unused(), "it is asked still");
        assert_eq!(ask("Shutdown"), Ok(()));
        assert_eq!(ask("Connect"), Err(Code::Unavailable));
        assert_eq!(ask("State"), Err(Code::NotFound));
    }
}

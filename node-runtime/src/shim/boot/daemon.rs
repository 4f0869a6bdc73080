//! `serve`: the shim itself. Its standard output leads to the `start` that started it until it is ready.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
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
use crate::sys::{self, Host, Listener};
use crate::ttrpc::{self, Call, Code, Service, Status};

/// The service by which `start` says that containerd was told of the shim.
pub const SERVICE: &str = "dev.hosttask.shim.v1.Boot";

/// Its method. Request and response are empty.
pub const TOLD: &str = "Told";

/// How long a shim waits until it is known. `start` needs a moment; where it was ended before, nobody will ever ask.
const UNKNOWN: Duration = Duration::from_secs(30);

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
        let shim = Shim::new(Setup {
            host: Arc::clone(&host),
            namespace: options.namespace.to_string(),
            id: options.id.to_string(),
            state_root: root.to_path_buf(),
            publisher: Arc::clone(&publisher) as Arc<dyn Publish>,
            keeper: Some(sys::own_process().map_err(CommandError::Host)?),
        })?;
        std::env::set_current_dir(root).map_err(CommandError::file("change to", root))?;
        let front = Front {
            shim: Arc::clone(&shim),
            lines: lines.clone(),
            debug: options.debug,
            is_known: AtomicBool::new(false),
        };
        let daemon = Self {
            shim,
            publisher,
            lines,
            interrupted,
            front: Arc::new(front),
        };
        Ok((daemon, listener))
    }

    fn serve(&self, listener: Box<dyn Listener>) -> io::Result<()> {
        let began = Instant::now();
        let is_over = || {
            let is_known = self.front.is_known.load(Ordering::Acquire);
            self.shim.is_over()
                || self.interrupted.load(Ordering::Relaxed)
                || (!is_known && began.elapsed() >= UNKNOWN)
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
        bundle.forget();
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

/// What answers calls: the shim, with a line in the log for those that failed.
struct Front {
    shim: Arc<Shim>,
    lines: Lines,
    debug: bool,
    /// Whether containerd knows the shim.
    is_known: AtomicBool,
}

impl Service for Front {
    fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Status> {
        let is_boot = call.service == SERVICE && call.method == TOLD;
        if is_boot || call.method == "Create" {
            self.is_known.store(true, Ordering::Release);
        }
        if is_boot {
            return Ok(Vec::new());
        }
        let answer = self.shim.call(call);
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
}

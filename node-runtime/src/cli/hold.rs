//! `keeper`: the process that holds a container. Started by `create` and `run`; its standard output leads to them until it is
//! ready.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::context::Context;
use super::error::CommandError;
use super::own;
use crate::id::Id;
use crate::keeper::boot::{say_failure, say_ready};
use crate::keeper::protocol::{Failure, Kind};
use crate::keeper::{Keeper, address, server};
use crate::log::Log;
use crate::sys::Listener;

/// Holds a container until it is deleted.
pub(super) fn hold(context: &Context, id: &Id) -> Result<u32, CommandError> {
    // Standard error leads nowhere: what a panic says is heard where everything else of the start is.
    std::panic::set_hook(Box::new(|panic| drop(write_panic(panic))));
    let (keeper, listener) = match prepare(context, id) {
        Ok(prepared) => prepared,
        Err(error) => {
            let kind = if matches!(error, CommandError::Exists(_)) {
                Kind::AlreadyExists
            } else {
                Kind::Internal
            };
            // Where nobody hears it, nobody waits for it.
            drop(say_failure(&mut io::stdout(), &Failure::new(kind, &error)));
            return Err(error);
        }
    };
    say_ready(&mut io::stdout()).map_err(CommandError::Print)?;
    let address = context.address(id);
    server::serve(&context.host, &address, listener, &Arc::new(keeper)).map_err(|source| {
        CommandError::File {
            verb: "serve",
            path: address.into(),
            source,
        }
    })?;
    Ok(0)
}

fn prepare(context: &Context, id: &Id) -> Result<(Keeper, Box<dyn Listener>), CommandError> {
    let store = context.store()?;
    // The folder in which the command was started may have to be removed while we live.
    std::env::set_current_dir(&context.root)
        .map_err(CommandError::file("change to", &context.root))?;
    if let Some(folder) = address::folder_of_keepers(&context.places, &context.root) {
        std::fs::create_dir_all(&folder).map_err(CommandError::file("make the folder", &folder))?;
    }
    let address = context.address(id);
    let listener = context.host.listen(&address).map_err(|source| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            return CommandError::Exists(id.clone());
        }
        CommandError::file("serve", &address)(source)
    })?;
    let log = context.global.log.as_deref().map(|path| log(context, path));
    let keeper = Keeper::new(
        Arc::clone(&context.host),
        Arc::new(store),
        id.clone(),
        address,
        own::place(&context.root, id),
        log.transpose()?,
    );
    Ok((keeper, listener))
}

fn log(context: &Context, path: &Path) -> Result<Log, CommandError> {
    Log::open(path, context.log_format()).map_err(CommandError::file("open", path))
}

fn write_panic(panic: &std::panic::PanicHookInfo<'_>) -> io::Result<()> {
    use std::io::Write as _;
    let mut output = io::stdout();
    writeln!(output, "{panic}")?;
    output.flush()
}

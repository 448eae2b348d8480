//! The command line: the only place that names clap.

mod bridge;
mod config;
mod demo;
mod demo_summary;
mod doctor;
mod errors;
mod errors_export;
mod exit;
mod explain;
mod output;
mod queues;
mod requests;
mod room;
mod select;
mod simulate;
mod store;
mod transforms;
mod views;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bridge::Clock as _;
use crate::config::Settings;
use crate::runtime::{StartError, SystemClock, Workshop};
use crate::store::Role;
use exit::{Exit, Failed};

/// A message-broker sync bridge between a utility's billing and its asset management.
#[derive(Parser, Debug)]
#[command(name = "tieline", version, max_term_width = 100)]
struct Options {
    /// The settings file; without one, tieline.toml if it is there.
    #[arg(long, short = 'c', global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the bridge until SIGTERM; SIGHUP reads the mappings again.
    Run,
    /// Run the bridge between stand-ins for both systems and show what becomes of sample requests.
    Demo(demo::Demo),
    /// Check settings, brokers, queues, mappings and store; one line each.
    Doctor(doctor::Doctor),
    /// The queues: show, check, declare, export.
    #[command(subcommand)]
    Queues(queues::Queues),
    /// The mappings: check, try, test.
    #[command(subcommand)]
    Transforms(transforms::Transforms),
    /// The requests: list, show, trace.
    #[command(subcommand)]
    Requests(requests::Requests),
    /// The error queue: list, groups, show, check, retry, discard, restore, export.
    #[command(subcommand)]
    Errors(errors::Errors),
    /// The store: status, migrate, accept-older.
    #[command(subcommand)]
    Store(store::Store),
    /// The settings: check, show.
    #[command(subcommand)]
    Config(config::Config),
    /// Play billing or asset management: stand-ins that send, answer and keep count.
    Simulate(simulate::Options),
    /// Explain a failure code.
    Explain {
        /// Such as TL2002.
        code: String,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    if matches!(options.command, Command::Run | Command::Demo(_) | Command::Simulate(_)) {
        room::make();
    }
    // Lines as they are: a terminal wraps them itself, and a script can search them.
    drop(miette::set_hook(Box::new(|_| {
        Box::new(miette::MietteHandlerOpts::new().wrap_lines(false).build())
    })));
    // Another provider cannot have been chosen: nothing has run yet.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(format_args!("start the runtime: {error}"));
            return Exit::Failed.into();
        }
    };
    match runtime.block_on(run(options)) {
        Ok(exit) => exit.into(),
        Err(failed) => {
            output::note(format_args!("{:?}", failed.report));
            failed.exit.into()
        }
    }
}

async fn run(options: Options) -> Result<Exit, Failed> {
    let file = options.settings;
    match options.command {
        Command::Explain { code } => explain::run(&code),
        Command::Config(command) => config::run(&command, file.as_deref()),
        command => {
            let settings = crate::config::load(file.as_deref())?;
            Box::pin(with_settings(command, settings)).await
        }
    }
}

async fn with_settings(command: Command, settings: Settings) -> Result<Exit, Failed> {
    let now = SystemClock.now();
    match command {
        Command::Run => bridge::run(settings).await,
        Command::Demo(demo) => Box::pin(demo::run(demo, settings)).await,
        Command::Doctor(doctor) => doctor::run(doctor, &settings).await,
        Command::Queues(command) => queues::run(command, &settings).await,
        Command::Transforms(command) => transforms::run(command, &settings),
        Command::Requests(command) => {
            requests::run(command, workshop(&settings)?.store.as_ref(), now).await
        }
        Command::Errors(command) => {
            errors::run(command, &workshop(&settings)?.operations, now).await
        }
        Command::Simulate(options) => simulate::run(options, &settings).await,
        Command::Store(command) => store::run(&command, &settings).await,
        Command::Config(_) | Command::Explain { .. } => Ok(Exit::Done),
    }
}

/// Opens store and mappings beside a bridge that may be running.
fn workshop(settings: &Settings) -> Result<Workshop, Failed> {
    Ok(Workshop::open(settings, Role::Operator)?)
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::Store(_) => Exit::Store,
            StartError::Broker(_) | StartError::Unsafe(_) => Exit::Broker,
            StartError::Fence(_) => Exit::Fence,
            StartError::Mappings(_)
            | StartError::Topology(_)
            | StartError::Endpoint(_)
            | StartError::Http(_)
            | StartError::Telemetry(_) => Exit::Settings,
            StartError::Signals(_) => Exit::Failed,
        };
        match error {
            StartError::Store(error) => error.into(),
            StartError::Mappings(errors) => Self { exit, report: errors.into() },
            StartError::Fence(refusal) => {
                let message = format!("{refusal}. Nothing was consumed or published");
                Self::new(exit, message, refusal.ways_out())
            }
            other => Self { exit, report: miette::miette!("{other}") },
        }
    }
}

//! The schedule `disk`: the store is on a small disk, which is filled and freed while requests flow.
//!
//! The disk is a tmpfs, which only root may mount.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::evidence::Status;
use super::plan::{Plan, Schedule};
use super::random::Random;
use super::reading;
use super::report::Course;
use super::run::{Run, run, tell};
use crate::support::{queue, until_within};

/// How soon the bridge must go on by itself once there is room, on every leg that has work.
const RESUME_MAX: Duration = Duration::from_secs(10);

/// How soon nothing must be under way any more, at the most, also on a busy machine: less than any
/// lease lasts, so that nothing may have waited for one to run out.
const DRAIN_MAX: Duration = Duration::from_mins(1);

/// What the store needs for a request, at most, and for itself.
const BYTES_PER_REQUEST: u64 = 4 * 1024;
const BYTES_AT_LEAST: u64 = 128 * 1024 * 1024;

/// How the bridge says that there is no room.
const IS_FULL: &str = "disk is full";

/// The disk is filled but for so many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deed {
    left: u32,
}

/// One of each kind.
pub(super) fn deal(random: &mut Random) -> [Deed; 1] {
    [Deed { left: random.between(0, 256 * 1024) }]
}

/// A small disk, gone with its owner.
pub(super) struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk for a run of this size.
    pub(super) fn mount(at: &Path, requests: u32) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let size = BYTES_AT_LEAST + BYTES_PER_REQUEST * u64::from(requests);
        let options = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        match mount {
            Ok(output) if output.status.success() => Ok(Self(at.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Fills it, but for so many bytes.
    fn fill(&self, left: u32) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(u64::from(left))).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Whether this machine lets the test mount a disk; says so if not.
fn has_disk() -> bool {
    let folder = tempfile::tempdir().unwrap();
    match Disk::mount(folder.path(), 0) {
        Ok(_disk) => true,
        Err(why) => {
            tell(&format!("left out: schedule disk: cannot mount a tmpfs: {why}"));
            false
        }
    }
}

impl Run {
    /// Says whether there was still so much to record that the bridge found its disk full.
    pub(super) fn fill_disk(&mut self, Deed { left }: Deed) -> bool {
        let patience = self.plan.patience();
        let from = self.bridge().log_end();
        self.disk.as_ref().unwrap().fill(left);
        let is_full = until_within(patience, "the bridge to find its disk full", || {
            let is_full = self.bridge().has_logged(from, &[IS_FULL]);
            (is_full || self.has_met_nothing()).then_some(is_full)
        });
        let disk = self.disk.as_ref().unwrap();
        if !is_full {
            disk.free();
            self.doubts.bridge += 1;
            return false;
        }
        // What was under way stays in doubt, for its outcome could not be recorded.
        self.doubts.bridge += 1;
        let before = self.status();
        self.disk.as_ref().unwrap().free();
        let start = Instant::now();
        let what = "the bridge to take requests and answers in";
        until_within(patience, what, || {
            let now = self.status();
            let is_on = now.recorded() > before.recorded() && now.settled() > before.settled();
            // After the last request there may be nothing more of either.
            let is_over = self.is_too_late() && (now != before || self.has_met_nothing());
            (is_on || is_over).then_some(())
        });
        let took = start.elapsed();
        self.resumes.push(took);
        assert!(took <= RESUME_MAX, "{what} took {took:?}, expected at most {RESUME_MAX:?}");
        true
    }

    fn status(&self) -> Status {
        reading::read(&self.site, &["store", "status"])
    }

    /// Whether everything was sent and taken, so that the fault could hold up nothing.
    pub(super) fn has_met_nothing(&mut self) -> bool {
        let seen = self.progress.look();
        let is_over = seen.sent >= u64::from(self.plan.requests) && seen.answered >= seen.owed;
        is_over && queue::ALL.iter().all(|name| self.site.client.depth(name) == Some(0))
    }
}

#[test]
fn however_often_its_disk_is_full_every_request_ends_and_all_counts_agree() {
    if !has_disk() {
        return;
    }
    if let Some(Course { drained, .. }) = run(Plan::of_environment(Schedule::Disk, 3_000, 4)) {
        assert!(drained <= DRAIN_MAX, "{drained:?} until all was done, expected {DRAIN_MAX:?}");
    }
}

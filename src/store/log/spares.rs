//! Segments that wait for their use: made of written zeroes, or purged ones. A thread beside the log
//! thread makes them, so that the log thread finds one ready; that is also how space is reserved ahead.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};

use super::files;
use crate::machine;
use crate::store::file::{Access, Disk};
use crate::store::{StoreError, segment};

/// How much is written at once when a file is filled with zeroes, in bytes.
const ZERO_CHUNK_BYTES: usize = 1 << 20;

/// What the spare thread is asked.
pub(super) enum Task {
    /// Make a spare of zeroes.
    Make { path: PathBuf },
    /// Make a spare of a purged segment.
    Recycle { from: PathBuf, path: PathBuf },
    /// Delete a purged segment, or a spare too many.
    Delete { path: PathBuf },
}

/// What the spare thread answers. A deletion that succeeds is not answered.
pub(super) enum Answer {
    /// A spare is ready.
    Ready(PathBuf),
    /// A spare could not be made; nothing of the log was in it.
    NotMade(StoreError),
    /// A purged segment could not be renamed or deleted.
    Broken(StoreError),
}

/// The body of the spare thread: does tasks in order until there can be no more.
pub(super) fn serve(disk: &Disk, segment_bytes: u64, tasks: &Receiver<Task>, answers: &Sender<Answer>) {
    while let Ok(task) = machine::receive(tasks) {
        if let Some(answer) = carry_out(disk, task, segment_bytes) {
            // The log thread may have ended; what it asked for before is done all the same.
            let _ = answers.send(answer);
        }
    }
}

fn carry_out(disk: &Disk, task: Task, segment_bytes: u64) -> Option<Answer> {
    let answer = match task {
        Task::Make { path } => match make(disk, &path, segment_bytes) {
            Ok(()) => Answer::Ready(path),
            Err(error) => Answer::NotMade(error),
        },
        Task::Recycle { from, path } => match disk.rename(&from, &path) {
            Ok(()) => Answer::Ready(path),
            Err(error) => Answer::Broken(error),
        },
        Task::Delete { path } => match delete(disk, &path) {
            Ok(()) => return None,
            Err(error) => Answer::Broken(error),
        },
    };
    Some(answer)
}

/// Deletes a file for good, so that segments leave in the order in which they were purged.
pub(super) fn delete(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    disk.remove_file(path)?;
    disk.sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes a spare: really written zeroes, since blocks that are only allocated are slow to sync.
pub(super) fn make(disk: &Disk, path: &Path, segment_bytes: u64) -> Result<(), StoreError> {
    debug_assert!(segment_bytes <= segment::SEGMENT_BYTES_MAX);
    let unfinished = path.with_extension(files::UNFINISHED);
    let file = disk.open(&unfinished, Access::Create)?;
    let zeroes = vec![0; ZERO_CHUNK_BYTES.min(segment_bytes as usize)];
    let mut at = 0;
    while at < segment_bytes {
        let count = zeroes.len().min((segment_bytes - at) as usize);
        file.write_at(&zeroes[..count], at)?;
        at += count as u64;
    }
    file.sync()?;
    disk.rename(&unfinished, path)
}

/// The log thread's side.
pub(super) struct Spares {
    dir: PathBuf,
    ready: VecDeque<PathBuf>,
    next_number: u64,
    max: usize,
    /// Spares asked for and not answered yet.
    coming: usize,
    link: Option<Link>,
}

/// Who does the tasks.
enum Link {
    /// The spare thread.
    Thread { tasks: Sender<Task>, answers: Receiver<Answer> },
    /// The log thread itself, at once: for tests that want everything in one order.
    #[cfg(test)]
    Here { disk: Disk, segment_bytes: u64, answers: VecDeque<Answer> },
}

impl Link {
    fn send(&mut self, task: Task) -> Result<(), StoreError> {
        match self {
            Self::Thread { tasks, .. } => tasks.send(task).map_err(|_| StoreError::Closed),
            #[cfg(test)]
            Self::Here { disk, segment_bytes, answers } => {
                answers.extend(carry_out(disk, task, *segment_bytes));
                Ok(())
            }
        }
    }

    /// The next answer; waits for it.
    fn receive(&mut self) -> Result<Answer, StoreError> {
        match self {
            Self::Thread { answers, .. } => machine::receive(answers).map_err(|_| StoreError::Closed),
            #[cfg(test)]
            Self::Here { answers, .. } => answers.pop_front().ok_or(StoreError::Closed),
        }
    }

    /// An answer that is there.
    fn try_receive(&mut self) -> Option<Answer> {
        match self {
            Self::Thread { answers, .. } => answers.try_recv().ok(),
            #[cfg(test)]
            Self::Here { answers, .. } => answers.pop_front(),
        }
    }
}

impl Spares {
    pub(super) fn new(dir: PathBuf, ready: VecDeque<PathBuf>, next_number: u64, max: usize) -> Self {
        Self { dir, ready, next_number, max, coming: 0, link: None }
    }

    /// Connects the spare thread, and asks for a spare if there is none.
    ///
    /// # Errors
    /// That of the spare thread.
    pub(super) fn start(&mut self, tasks: Sender<Task>, answers: Receiver<Answer>) -> Result<(), StoreError> {
        self.link = Some(Link::Thread { tasks, answers });
        self.top_up()
    }

    /// As [`Self::start`], without a thread. Once is enough.
    #[cfg(test)]
    pub(super) fn start_here(&mut self, disk: &Disk, segment_bytes: u64) -> Result<(), StoreError> {
        if self.link.is_none() {
            self.link = Some(Link::Here { disk: disk.clone(), segment_bytes, answers: VecDeque::new() });
        }
        self.top_up()
    }

    /// Lets the spare thread end once it has done what it was asked.
    pub(super) fn stop(&mut self) {
        self.link = None;
    }

    fn new_path(&mut self) -> PathBuf {
        self.next_number += 1;
        files::spare_path(&self.dir, self.next_number - 1)
    }

    fn send(&mut self, task: Task) -> Result<(), StoreError> {
        self.link.as_mut().ok_or(StoreError::Closed)?.send(task)
    }

    fn top_up(&mut self) -> Result<(), StoreError> {
        if self.ready.is_empty() && self.coming == 0 {
            let path = self.new_path();
            self.send(Task::Make { path })?;
            self.coming += 1;
        }
        Ok(())
    }

    /// A spare; waits for one when none is ready. Has the next one made.
    ///
    /// A spare that could not be made is tried once more when it is needed, since space may have
    /// been freed meanwhile: nothing of the log was in it.
    ///
    /// # Errors
    /// Why no spare can be made; [`StoreError::Full`] above all.
    pub(super) fn take(&mut self) -> Result<PathBuf, StoreError> {
        self.collect()?;
        let mut tries = 0;
        while self.ready.is_empty() {
            self.top_up()?;
            let answer = self.link.as_mut().ok_or(StoreError::Closed)?.receive()?;
            if let Some(error) = self.note(answer)? {
                tries += 1;
                if tries > 1 {
                    return Err(error);
                }
            }
        }
        let path = self.ready.pop_front().ok_or(StoreError::Closed)?;
        self.top_up()?;
        Ok(path)
    }

    fn collect(&mut self) -> Result<(), StoreError> {
        while let Some(answer) = self.link.as_mut().and_then(Link::try_receive) {
            self.note(answer)?;
        }
        Ok(())
    }

    /// Counts an answer; gives back why a spare was not made.
    fn note(&mut self, answer: Answer) -> Result<Option<StoreError>, StoreError> {
        match answer {
            Answer::Ready(path) => {
                self.coming -= 1;
                self.ready.push_back(path);
                Ok(None)
            }
            Answer::NotMade(error) => {
                self.coming -= 1;
                Ok(Some(error))
            }
            Answer::Broken(error) => Err(error),
        }
    }

    /// Gives a purged segment back: kept for use again, or deleted. It must be `whole` to be kept:
    /// of the right size, and with no reader left.
    ///
    /// # Errors
    /// That of the spare thread.
    pub(super) fn give_back(&mut self, from: PathBuf, whole: bool) -> Result<(), StoreError> {
        self.collect()?;
        if !whole || self.ready.len() + self.coming >= self.max {
            return self.send(Task::Delete { path: from });
        }
        let path = self.new_path();
        self.send(Task::Recycle { from, path })?;
        self.coming += 1;
        Ok(())
    }
}

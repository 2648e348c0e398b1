//! A program that prints speech.

use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// A program under way. It ends when this is dropped, or when it says nothing for too long.
pub(super) struct Running {
    out: ChildStdout,
    child: Arc<Mutex<Child>>,
    /// Reads so far; stays when the program does not answer.
    reads: Arc<AtomicU64>,
    /// What it complained about, once it has closed that output.
    errors: Arc<Mutex<Option<Vec<u8>>>>,
    bytes: u64,
}

impl Running {
    pub(super) fn start(
        line: &[String],
        text: &str,
        voice: &str,
        language: &str,
        patience: Duration,
    ) -> Result<Self, String> {
        let (program, arguments) = line.split_first().ok_or("no program")?;
        // Each argument stays one argument, whatever is in the text; a text never becomes an option.
        let text = text.trim_start_matches('-');
        let fill = |argument: &String| match argument.as_str() {
            "{text}" => text.to_owned(),
            other => other.replace("{voice}", voice).replace("{language}", language),
        };
        let reads_input = !line.iter().any(|argument| argument == "{text}");
        let mut child = Command::new(program)
            .args(arguments.iter().map(fill))
            .stdin(if reads_input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let (input, out, complaints) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let out = out.ok_or("no output")?;
        let child = Arc::new(Mutex::new(child));
        let running =
            Self { out, child: Arc::clone(&child), reads: Arc::default(), errors: Arc::default(), bytes: 0 };
        if let Some(mut input) = input {
            let text = format!("{text}\n");
            // A program may print before it has read everything.
            thread::spawn(move || input.write_all(text.as_bytes()));
        }
        if let Some(complaints) = complaints {
            let errors = Arc::clone(&running.errors);
            thread::spawn(move || {
                let mut said = Vec::new();
                let _ = complaints.take(4_096).read_to_end(&mut said);
                *errors.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
            });
        }
        let reads = Arc::downgrade(&running.reads);
        thread::spawn(move || {
            let mut before = None;
            // Ends with the reader, which kills the program itself.
            while let Some(reads) = reads.upgrade() {
                let now = reads.load(Ordering::Relaxed);
                drop(reads);
                // Even numbers are between two reads.
                if before == Some(now) && now % 2 == 1 {
                    kill(&child);
                    return;
                }
                before = Some(now);
                thread::sleep(patience);
            }
        });
        Ok(running)
    }

    /// What to say when there is no audio: the program's own last words, where it has any.
    pub(super) fn complaint(&self) -> impl Fn(&str) -> String + use<> {
        let errors = Arc::clone(&self.errors);
        move |why| {
            // Its last words come a moment after it has ended.
            let said = (0..LAST_WORDS).find_map(|turn| {
                thread::sleep(Duration::from_millis(if turn == 0 { 0 } else { 10 }));
                errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
            });
            let said = said.unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            match said.lines().rfind(|line| !line.trim().is_empty()) {
                Some(line) => format!("speech: {}", line.trim()),
                None => format!("speech: {why}"),
            }
        }
    }
}

impl Read for Running {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let length = self.out.read(out);
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Ok(length) = length {
            self.bytes += length as u64;
            // What was heard so far is better than nothing.
            if length == 0 && self.bytes == 0 {
                return Err(io::Error::other(self.complaint()("the program printed nothing")));
            }
        }
        length
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// How long a program's complaint is waited for after its end, in 10 ms.
const LAST_WORDS: u32 = 30;

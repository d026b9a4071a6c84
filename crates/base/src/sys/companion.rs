//! A process that answers requests over a socket, and that nothing here ever waits for without a bound.
//!
//! Its end never depends on the socket being closed: a process forked meanwhile holds a copy of this
//! side. The companion receives a message that ends it, and ends by itself when it has been idle.
//! It also detaches from its starter, so that it is no child of this process: `wait()` and SIGCHLD of
//! other code never see it.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{SendFlags, send};

use super::process;

/// For the starter, which only forks, to end after the first answer. Beyond it, it is killed.
const STARTER: Duration = Duration::from_secs(1);

/// A running companion.
#[derive(Debug)]
pub struct Companion {
    socket: UnixStream,
    /// Until it has been reaped.
    starter: Option<Child>,
}

impl Companion {
    /// Starts `command` with the other end of the socket as its standard input. It has to fork, and
    /// the first process has to leave at once.
    ///
    /// Each read and write that takes longer than `patience` fails.
    ///
    /// # Errors
    /// The process was not started.
    pub fn start(mut command: Command, patience: Duration) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        let starter = command
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            socket,
            starter: Some(starter),
        })
    }

    /// Sends a request and returns the answer: a length of four bytes, little-endian, and as many bytes.
    ///
    /// # Errors
    /// The companion has ended, or does not answer in time.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.write_all(request)?;
        let mut size = [0; 4];
        self.socket.read_exact(&mut size)?;
        let mut answer = vec![0; u32::from_le_bytes(size) as usize];
        self.socket.read_exact(&mut answer)?;
        self.reap_starter();
        Ok(answer)
    }

    /// Sends the last message, and does not wait.
    pub fn end(mut self, message: &[u8]) {
        // A full socket means a companion that is stuck; it ends by itself.
        let _ = self.socket.set_nonblocking(true);
        let _ = self.write_all(message);
    }

    /// Kills its starter if it has not ended by now.
    fn reap_starter(&mut self) {
        let Some(mut starter) = self.starter.take() else {
            return;
        };
        // An error of the wait: other code of this process has reaped it.
        if !process::ends_within(&starter, STARTER) && matches!(starter.try_wait(), Ok(None)) {
            let _ = starter.kill();
        }
        let _ = starter.wait();
    }
}

/// Without SIGPIPE, whose handling belongs to other code.
impl Write for Companion {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.socket, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.reap_starter();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str, patience: Duration) -> Companion {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Companion::start(command, patience).unwrap()
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        // A shell gives what it starts with & another standard input.
        let answers = r"exec 3<&0; (head -c 2 <&3 >/dev/null; printf '\003\000\000\000abc' >&3) &";
        let mut companion = shell(answers, Duration::from_secs(20));
        assert_eq!(companion.ask(b"go").unwrap(), b"abc");
        companion.end(b"");
    }

    #[test]
    fn a_silent_companion_is_not_waited_for() {
        let begun = Instant::now();
        let mut companion = shell("exec 3<&0; sleep 2 &", Duration::from_millis(50));
        assert!(companion.ask(b"go").is_err());
        companion.end(b"");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_companion_that_has_ended_is_an_error() {
        let mut companion = shell("exit 0", Duration::from_secs(20));
        assert!(companion.ask(b"go").is_err());
    }
}

//! The socket pair, typed: what one end sends is what the other receives.

use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FromWorker, ToWorker};

/// Most descriptors one message carries. A host name seldom resolves to more than a few addresses.
pub const MAX_DESCRIPTORS: usize = 65;

/// The supervisor's end.
pub type SupervisorEnd = Channel<ToWorker, FromWorker>;

/// The worker's end.
pub type WorkerEnd = Channel<FromWorker, ToWorker>;

/// One end of a control socket: sends `Out`, receives `In`.
///
/// Neither `send` nor `receive` ever blocks, whatever the descriptor's own mode: a supervisor must
/// not wait for a worker that has stopped reading, nor a worker's event loop for its supervisor.
#[derive(Debug)]
pub struct Channel<Out, In> {
    socket: OwnedFd,
    direction: PhantomData<fn(Out) -> In>,
}

/// The result of `receive`.
#[derive(Debug)]
pub enum Received<In> {
    /// A message and the descriptors attached to it (close-on-exec).
    Message(In, Vec<OwnedFd>),
    /// Nothing is waiting.
    Nothing,
    /// The other end is gone.
    Closed,
}

impl SupervisorEnd {
    /// A new pair: the supervisor's end, and the descriptor to give to the worker. Both are
    /// close-on-exec; the launcher lets the worker's through.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socket_pair()?;
        Ok((Self::over(ours), theirs))
    }
}

/// The sockets of a channel between two processes, close-on-exec.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (domain, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(domain, kind, SocketFlags::CLOEXEC, None)?)
}

impl WorkerEnd {
    /// Takes over the inherited descriptor, which no process that the worker starts should inherit.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        Ok(Self::over(socket))
    }
}

impl<Out: Serialize, In: DeserializeOwned> Channel<Out, In> {
    /// One end, over a socket of the kind that [`SupervisorEnd::pair`] makes.
    pub fn over(socket: OwnedFd) -> Self {
        Self {
            socket,
            direction: PhantomData,
        }
    }

    /// Sends one message with descriptors attached.
    pub fn send(&self, message: &Out, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut attached = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !attached.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        retry_on_intr(|| sendmsg(&self.socket, &[IoSlice::new(&text)], &mut attached, flags))?;
        Ok(())
    }

    /// Receives the next message if one is waiting.
    pub fn receive(&self) -> io::Result<Received<In>> {
        let mut text = match self.waiting_length() {
            Ok(0) | Err(Errno::CONNRESET) => return Ok(Received::Closed),
            Ok(length) => vec![0; length],
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(error) => return Err(error.into()),
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut attached = RecvAncillaryBuffer::new(&mut space);
        retry_on_intr(|| {
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let mut into = [IoSliceMut::new(&mut text)];
            recvmsg(&self.socket, &mut into, &mut attached, flags)
        })?;
        let mut descriptors = Vec::new();
        for message in attached.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                descriptors.extend(received);
            }
        }
        Ok(Received::Message(
            serde_json::from_slice(&text)?,
            descriptors,
        ))
    }

    /// Waits for the next message, for the time before there is an event loop; `None` is the end.
    pub fn wait(&self) -> io::Result<Option<(In, Vec<OwnedFd>)>> {
        loop {
            match self.receive()? {
                Received::Message(message, descriptors) => {
                    return Ok(Some((message, descriptors)));
                }
                Received::Closed => return Ok(None),
                Received::Nothing => {
                    let mut readable = [PollFd::new(&self.socket, PollFlags::IN)];
                    retry_on_intr(|| poll(&mut readable, None))?;
                }
            }
        }
    }

    /// The length of the next packet, which stays in the queue: a configuration has no bound of
    /// its own, and a packet that is not read whole is lost.
    fn waiting_length(&self) -> Result<usize, Errno> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::TRUNC;
        let mut nothing = [0u8; 0];
        retry_on_intr(|| recv(&self.socket, &mut nothing, flags)).map(|(_, length)| length)
    }
}

impl<Out, In> From<Channel<Out, In>> for OwnedFd {
    fn from(channel: Channel<Out, In>) -> Self {
        channel.socket
    }
}

impl<Out, In> AsFd for Channel<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<Out, In> AsRawFd for Channel<Out, In> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ends() -> (SupervisorEnd, WorkerEnd) {
        let (ours, theirs) = SupervisorEnd::pair().unwrap();
        (ours, WorkerEnd::adopt(theirs).unwrap())
    }

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (supervisor, worker) = ends();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        supervisor
            .send(&ToWorker::Quit, &[listener.as_fd()])
            .unwrap();
        let (message, descriptors) = worker.wait().unwrap().unwrap();
        assert_eq!(message, ToWorker::Quit);
        let received = TcpListener::from(descriptors.into_iter().next().unwrap());
        assert_eq!(
            received.local_addr().unwrap(),
            listener.local_addr().unwrap()
        );
    }

    #[test]
    fn an_empty_channel_says_nothing_and_a_dropped_one_closed() {
        let (supervisor, worker) = ends();
        assert!(matches!(worker.receive().unwrap(), Received::Nothing));
        worker.send(&FromWorker::Ready, &[]).unwrap();
        drop(worker);
        assert!(matches!(
            supervisor.receive().unwrap(),
            Received::Message(FromWorker::Ready, _)
        ));
        assert!(matches!(supervisor.receive().unwrap(), Received::Closed));
    }
}

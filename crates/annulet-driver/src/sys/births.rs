//! Where the open sockets came from, for whoever finds that one leaked. Kept in debug builds only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::socket::{Address, Socket};

/// How a socket came to be a driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Birth {
    Opened,
    Listening,
    Accepted,
    Adopted,
}

/// The addresses of a socket's ends, as far as it has any.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) local: Option<Address>,
    pub(super) peer: Option<Address>,
}

/// What is known of the sockets that are open, by descriptor; nothing in release builds.
#[derive(Debug, Default)]
pub(super) struct Births(RefCell<BTreeMap<i32, Note>>);

#[derive(Debug)]
struct Note {
    birth: Birth,
    /// Written down as soon as it names the other end: later, that may be gone.
    story: Option<Rc<str>>,
}

impl Births {
    pub(super) fn enter(&self, socket: Socket, birth: Birth) {
        if cfg!(debug_assertions) {
            self.0.borrow_mut().insert(socket.as_raw(), Note { birth, story: None });
        }
    }

    pub(super) fn leave(&self, socket: Socket) {
        if cfg!(debug_assertions) {
            self.0.borrow_mut().remove(&socket.as_raw());
        }
    }

    /// The story of an open socket.
    pub(super) fn story(&self, socket: Socket, ends: impl FnOnce() -> Ends) -> Option<Rc<str>> {
        let mut notes = self.0.borrow_mut();
        let Note { birth, story } = notes.get_mut(&socket.as_raw())?;
        if story.is_some() {
            return story.clone();
        }
        let ends = ends();
        let told = Some(tell(*birth, &ends).into());
        if ends.peer.is_some() {
            story.clone_from(&told);
        }
        told
    }

    /// The stories of all.
    pub(super) fn stories(&self, ends: impl Fn(Socket) -> Ends) -> Vec<Rc<str>> {
        let open: Vec<Socket> = self.0.borrow().keys().copied().map(Socket::from_raw).collect();
        open.into_iter().filter_map(|socket| self.story(socket, || ends(socket))).collect()
    }
}

fn tell(birth: Birth, Ends { local, peer }: &Ends) -> String {
    let name = |end: &Option<Address>| end.as_ref().map_or_else(|| "nowhere".to_owned(), Address::to_string);
    let (local, remote) = (name(local), name(peer));
    match birth {
        Birth::Listening => format!("listener at {local}"),
        Birth::Accepted => format!("connection from {remote} accepted at {local}"),
        Birth::Opened if peer.is_some() => format!("connection to {remote} from {local}"),
        Birth::Opened => "socket that was opened and not connected".to_owned(),
        Birth::Adopted => format!("socket that was adopted, at {local}, its peer at {remote}"),
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    fn at(port: u16) -> Option<Address> {
        Some(Address::Tcp(([127, 0, 0, 1], port).into()))
    }

    #[test]
    fn a_story_says_how_a_socket_came_and_where_its_ends_are() {
        let both = || Ends { local: at(80), peer: at(4711) };
        for (birth, ends, story) in [
            (Birth::Listening, Ends { local: at(80), peer: None }, "listener at 127.0.0.1:80"),
            (Birth::Accepted, both(), "connection from 127.0.0.1:4711 accepted at 127.0.0.1:80"),
            (
                Birth::Accepted,
                Ends { local: at(80), peer: None },
                "connection from nowhere accepted at 127.0.0.1:80",
            ),
            (Birth::Opened, both(), "connection to 127.0.0.1:4711 from 127.0.0.1:80"),
            (Birth::Opened, Ends::default(), "socket that was opened and not connected"),
            (Birth::Adopted, both(), "socket that was adopted, at 127.0.0.1:80, its peer at 127.0.0.1:4711"),
        ] {
            assert_eq!(tell(birth, &ends), story);
        }
    }

    #[test]
    fn a_story_is_that_of_the_time_when_both_ends_were_known_until_the_socket_is_closed() {
        let births = Births::default();
        let socket = Socket::from_raw(7);
        births.enter(socket, Birth::Accepted);
        let early = births.story(socket, Ends::default);
        let first = births.story(socket, || Ends { local: at(1), peer: at(2) });
        assert_ne!(early, first);
        assert_eq!(births.story(socket, Ends::default), first);
        assert_eq!(births.stories(|_| Ends::default()), Vec::from_iter(first));
        births.leave(socket);
        assert_eq!(births.story(socket, Ends::default), None);
        births.enter(socket, Birth::Opened);
        assert_eq!(
            births.story(socket, Ends::default).as_deref(),
            Some("socket that was opened and not connected")
        );
    }
}

//! Unix sockets.

use std::path::PathBuf;

use super::*;
use crate::socket::UnixAddress;

fn path() -> Address {
    Address::Unix(UnixAddress::Path(PathBuf::from("/run/annulet")))
}

fn name() -> Address {
    Address::Unix(UnixAddress::Abstract(b"annulet".to_vec()))
}

fn listen(pair: &Pair, address: Address, backlog: u32) -> Result<Sock, i32> {
    let spec = ListenSpec { address, backlog, share_port: false, v6_only: false };
    let listening = pair.world.listen(pair.server, &spec).map_err(number)?;
    Ok(pair.sock(pair.server, listening.0))
}

fn connect(pair: &Pair, host: HostId, address: &Address) -> Result<Sock, i32> {
    let descriptor = pair.world.socket(host, Domain::Unix).expect("socket");
    pair.world.connect(host, descriptor, address).map_err(number)?;
    Ok(pair.sock(host, descriptor))
}

fn ends(pair: &Pair) -> (Sock, Sock) {
    let (one, other) = pair.world.unix_pair(pair.server).expect("a pair");
    (pair.sock(pair.server, one), pair.sock(pair.server, other))
}

#[test]
fn a_connection_is_made_and_used_at_once() {
    let pair = Pair::new(1);
    for address in [path(), name()] {
        let listener = listen(&pair, address.clone(), 8).expect("listen");
        let client = connect(&pair, pair.server, &address).expect("connect");
        assert_eq!(pair.world.connect_result(client.file), Some(Ok(())));
        client.send(b"hello").expect("send");
        assert!(listener.readiness().readable);
        let server = pair.accept(&listener).expect("a connection");
        assert_eq!(server.receive(10), Ok(b"hello".to_vec()));
        assert_eq!(pair.world.peer_address(client.file).expect("peer"), address);
        assert_eq!(pair.world.local_address(server.file).expect("local"), address);
        assert_eq!(pair.world.next_event_at(), None);
    }
    pair.assert_sound();
}

#[test]
fn connecting_fails_for_each_of_its_reasons() {
    let pair = Pair::new(1);
    let attempt = |address: &Address| connect(&pair, pair.server, address).err();
    assert_eq!(attempt(&path()), Some(libc::ENOENT));
    assert_eq!(attempt(&name()), Some(libc::ECONNREFUSED));
    let long = Address::Unix(UnixAddress::Path("x".repeat(200).into()));
    assert_eq!(attempt(&long), Some(libc::EINVAL));
    let listener = listen(&pair, path(), 1).expect("listen");
    assert_eq!((attempt(&path()), attempt(&path()), attempt(&path())), (None, None, Some(libc::EAGAIN)));
    assert_eq!(connect(&pair, pair.client, &path()).err(), Some(libc::ENOENT), "another host's files");
    listener.close();
    assert_eq!(attempt(&path()), Some(libc::ECONNREFUSED), "the file is stale");
    pair.world.create_file(pair.server, &PathBuf::from("/ordinary")).expect("free");
    assert_eq!(attempt(&Address::Unix(UnixAddress::Path("/ordinary".into()))), Some(libc::ECONNREFUSED));
}

#[test]
fn nothing_is_sent_on_a_socket_that_was_never_connected() {
    let pair = Pair::new(1);
    let fresh = pair.sock(pair.client, pair.world.socket(pair.client, Domain::Unix).expect("socket"));
    assert_eq!((fresh.send(b"x"), fresh.receive(1)), (Err(libc::ENOTCONN), Err(libc::EINVAL)));
    let listener = listen(&pair, name(), 1).expect("listen");
    let again = pair.world.connect(pair.server, listener.descriptor, &name());
    assert_eq!(again.map_err(number), Err(libc::EINVAL));
}

#[test]
fn a_path_outlives_its_listener_and_an_abstract_name_does_not() {
    let pair = Pair::new(1);
    let file = PathBuf::from("/run/annulet");
    listen(&pair, path(), 1).expect("listen").close();
    let first = pair.world.inode(pair.server, &file).expect("a stale file");
    assert!(first.1);
    assert_eq!(listen(&pair, path(), 1).err(), Some(libc::EADDRINUSE));
    pair.world.unlink(pair.server, &file).expect("there");
    assert_eq!(pair.world.unlink(pair.server, &file).map_err(number), Err(libc::ENOENT));
    listen(&pair, path(), 1).expect("listen");
    assert_ne!(pair.world.inode(pair.server, &file), Some(first));
    listen(&pair, name(), 1).expect("listen").close();
    listen(&pair, name(), 1).expect("free again");
}

#[test]
fn an_unlinked_listener_is_not_found_and_closing_it_spares_its_successor() {
    let pair = Pair::new(1);
    let first = listen(&pair, path(), 1).expect("listen");
    pair.world.unlink(pair.server, &PathBuf::from("/run/annulet")).expect("there");
    assert_eq!(connect(&pair, pair.server, &path()).err(), Some(libc::ENOENT));
    let second = listen(&pair, path(), 1).expect("listen");
    first.close();
    connect(&pair, pair.server, &path()).expect("the successor's");
    pair.accept(&second).expect("a connection");
}

#[test]
fn the_senders_buffer_is_the_limit_and_room_is_told_when_most_of_it_is_free() {
    let settings = HostSettings { send_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (one, other) = ends(&pair);
    assert_eq!((one.send(&pattern(5000)), one.send(b"x")), (Ok(1000), Err(libc::EAGAIN)));
    pair.world.take_changes(&mut Vec::new());
    other.receive(700).expect("bytes");
    assert!(!one.readiness().writable);
    assert!(other.readiness().readable);
    other.receive(100).expect("bytes");
    assert!(one.readiness().writable);
    let mut changes = Vec::new();
    pair.world.take_changes(&mut changes);
    assert_eq!(changes, [one.file]);
    pair.assert_sound();
}

#[test]
fn closing_ends_the_peer_after_its_bytes() {
    let pair = Pair::new(1);
    let (one, other) = ends(&pair);
    one.send(b"last").expect("send");
    one.close();
    assert!(other.readiness().hung_up);
    assert_eq!(other.send(b"x"), Err(libc::EPIPE));
    assert_eq!(other.drain(), (b"last".to_vec(), Ok(())));
    other.close();
    pair.assert_sound();
}

#[test]
fn closing_with_unread_bytes_tells_the_peer_once() {
    let pair = Pair::new(1);
    let (one, other) = ends(&pair);
    other.send(b"nobody reads this").expect("send");
    one.send(b"last").expect("send");
    one.close();
    assert_eq!(other.send(b"x"), Err(libc::EPIPE), "sending does not take the error");
    assert_eq!(other.drain(), (b"last".to_vec(), Err(libc::ECONNRESET)));
    assert_eq!(other.receive(1), Ok(vec![]));
    pair.assert_sound();
}

#[test]
fn each_direction_is_shut_by_itself_and_from_either_end() {
    let pair = Pair::new(1);
    let (one, other) = ends(&pair);
    one.shut(Shutdown::Write).expect("open");
    assert_eq!((one.send(b"x"), other.receive(1)), (Err(libc::EPIPE), Ok(vec![])));
    other.send(b"still").expect("open");
    one.shut(Shutdown::Read).expect("open");
    assert_eq!(other.send(b"x"), Err(libc::EPIPE));
    assert_eq!(one.drain(), (b"still".to_vec(), Ok(())));
    assert!(one.readiness().hung_up && other.readiness().hung_up);
    pair.assert_sound();
}

#[test]
fn a_listener_that_goes_resets_what_it_had_not_accepted() {
    let pair = Pair::new(1);
    let listener = listen(&pair, path(), 4).expect("listen");
    let client = connect(&pair, pair.server, &path()).expect("connect");
    listener.close();
    assert_eq!((client.receive(1), client.receive(1)), (Err(libc::ECONNRESET), Ok(vec![])));
    assert_eq!(client.send(b"x"), Err(libc::EPIPE));
    client.close();
    pair.assert_sound();
}

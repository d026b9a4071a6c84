//! The order and form in which queued pieces are written.

use super::*;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn small_pieces_are_copied_and_large_ones_shared() {
    let mut out = Outgoing::default();
    out.put_head(b"head ".to_vec());
    let content = Content::Piece(Piece::Small(b"abc"));
    out.put_body(Framing::Chunked, content, false);
    out.put_body(
        Framing::Chunked,
        Content::Piece(Piece::Shared(Bytes::from_static(b"0123456789abcdef"))),
        true,
    );
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = out.slices(&mut slices);
    let wire: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
    assert_eq!(
        text(&wire),
        "head 3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
    );
    assert_eq!(out.len(), wire.len());
    out.advance(20);
    out.advance(wire.len() - 20);
    assert!(out.is_empty());
}

fn held(out: &Outgoing) -> usize {
    let queued = out.queue.iter().map(Queued::len).sum::<usize>();
    queued + out.tail.capacity()
}

fn drain(out: &mut Outgoing, step: usize, wire: &mut Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let count = out.slices(&mut slices);
    let pending: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
    let n = pending.len().min(step);
    wire.extend_from_slice(&pending[..n]);
    out.advance(n);
}

#[test]
fn what_a_slow_client_is_owed_is_held_once_and_comes_out_in_order() {
    for size in [
        1,
        700,
        8_000,
        BLOCK - 1,
        BLOCK,
        buffers::SIZE,
        3 * buffers::SIZE,
    ] {
        let (mut sent, mut wire) = (Vec::new(), Vec::new());
        let (mut told, mut out) = (Outgoing::default(), Outgoing::default());
        for round in 0..400_usize {
            let piece = vec![round as u8; size];
            told.put(Piece::Small(&piece));
            sent.extend_from_slice(&piece);
            out.append(&mut told);
            let left = out.len();
            assert!(held(&out) <= left + 2 * buffers::SIZE, "{size}: {left}");
            while out.len() > 66_000 {
                drain(&mut out, 3_000 + size, &mut wire);
            }
        }
        while !out.is_empty() {
            drain(&mut out, 100_000, &mut wire);
        }
        assert!(wire == sent, "{size}");
    }
}

use std::pin::pin;
use std::rc::Rc;
use std::task::Context;

use tokio::runtime::Builder;

use super::super::Guard;
use super::*;

/// Connections that are idle since then.
fn idle(connections: &Rc<Connections>, count: usize, since: Instant) -> Vec<Guard> {
    let added = (0..count).map(|_| connections.add());
    let guards: Vec<Guard> = added.collect();
    guards
        .iter()
        .for_each(|guard| guard.entry.set_idle(Some(since)));
    guards
}

fn resting(guards: &[Guard]) -> usize {
    guards.iter().filter(|guard| guard.entry.rests()).count()
}

fn connections() -> Rc<Connections> {
    Rc::new(Connections::new(Duration::from_secs(5), None))
}

#[test]
fn a_few_idle_connections_are_parked_after_a_while() {
    let (connections, start) = (connections(), Instant::now());
    let guards = idle(&connections, CROWD - 1, start);
    connections.sweep(start + PARK_IN_CROWD_AFTER);
    assert_eq!(resting(&guards), 0);
    connections.sweep(start + PARK_AFTER);
    assert_eq!(resting(&guards), CROWD - 1);
}

#[test]
fn a_crowd_of_them_is_parked_sooner() {
    let (connections, start) = (connections(), Instant::now());
    let guards = idle(&connections, CROWD, start);
    connections.sweep(start + PARK_IN_CROWD_AFTER);
    assert_eq!(resting(&guards), CROWD);
}

#[test]
fn those_that_rest_already_make_no_crowd() {
    let (connections, start) = (connections(), Instant::now());
    let resting_already = idle(&connections, CROWD, start);
    connections.sweep(start + PARK_AFTER);
    let guards = idle(&connections, 1, start + PARK_AFTER);
    connections.sweep(start + PARK_AFTER + PARK_IN_CROWD_AFTER);
    assert_eq!(
        (resting(&resting_already), resting(&guards)),
        (CROWD, 0),
        "there is no reason for another early sweep"
    );
    assert!(!connections.crowded.get());
}

#[test]
fn a_connection_that_is_asked_again_rests_no_longer() {
    let (connections, start) = (connections(), Instant::now());
    let guards = idle(&connections, 1, start);
    connections.sweep(start + PARK_AFTER);
    guards[0].entry.set_idle(None);
    assert_eq!(resting(&guards), 0);
    connections.sweep(start + 2 * PARK_AFTER);
    assert_eq!(resting(&guards), 0);
}

#[test]
fn a_burst_brings_the_sweep_forward() {
    let connections = connections();
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.unwrap();
    let _entered = runtime.enter();
    let _first = connections.add();
    let mut sweep = pin!(connections.next_sweep(|| false));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sweep.as_mut().poll(&mut cx).is_pending());
    let _burst = idle(&connections, 2 * CROWD, Instant::now());
    assert!(sweep.as_mut().poll(&mut cx).is_ready());
}

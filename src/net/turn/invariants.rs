//! What always holds, and what is left when everybody is gone: for the simulation, which looks after each turn.

use super::*;

impl<E: Environment> Turn<E> {
    /// What always holds between two turns; panics where it doesn't. For the simulation.
    pub fn check_invariants(&mut self) {
        let mut out_bytes = 0;
        let (mut listed, mut dirty, mut parked, mut paced, mut deadlines, mut members) = (0, 0, 0, 0, 0, 0);
        for (id, connection) in self.connections.iter_mut() {
            out_bytes += connection.out_bytes();
            assert!(connection.out_bytes() <= OUT_BYTES_MAX, "{id:?} is told more than is allowed");
            // Of what is encrypted, what is decrypted at once may be two records.
            let read_max = if connection.tls.is_some() { 2 * READ_BYTES_A_TURN } else { READ_BYTES_A_TURN };
            let inbound_max = read_max + connection.conversation.as_ref().map_or(0, Conversation::request_bytes_max);
            assert!(connection.inbound.len() <= inbound_max, "too much that {id:?} has said is kept");
            let has_place = self.strangers.has(id) || self.posts.has(id) || connection.door == Door::Control;
            assert!(has_place || connection.stage != Stage::Strange, "{id:?} takes nobody's place");
            if connection.stage == Stage::Strange && !connection.is_post() {
                let most = connection.said.max(connection.queue.bytes());
                assert!(most <= STRANGE_BYTES_MAX, "the stranger {id:?} has said or is told more than is allowed");
            }
            assert!(connection.stage != Stage::Gone, "{id:?} is gone and still there");
            assert!(connection.listed || !connection.has_work(), "{id:?} has work that nobody will do");
            let is_writable = connection.stage != Stage::Lingering;
            let may_leave = is_writable && connection.queue.may_leave(self.persisted);
            let ends = connection.stage == Stage::Ending && connection.is_drained();
            let shakes = connection.tls.as_ref().is_some_and(|tls| tls.wants_write());
            let is_paced = connection.paced || self.timers.is_set(id, Timer::Acknowledged);
            let will_be_written = connection.dirty || connection.watched || is_paced;
            let is_under_way = connection.under_way.as_ref().is_some_and(|under_way| !under_way.is_empty());
            assert!(
                is_paced || !is_under_way || !connection.is_served() || connection.watched,
                "{id:?} will not be known to have read"
            );
            assert!(
                will_be_written || !(may_leave || ends || shakes),
                "{id:?} has something to be written that nobody will write"
            );
            let waits = connection.queue.waits_for(self.persisted).is_some();
            assert!(connection.parked || !waits, "{id:?} waits for a batch that will not wake it");
            members += usize::from(connection.member);
            listed += usize::from(connection.listed);
            dirty += usize::from(connection.dirty);
            parked += usize::from(connection.parked);
            paced += usize::from(connection.paced);
            if let Some(at) = connection.deadline {
                deadlines += 1;
                assert!(self.deadlines.contains(&(at, id)), "the deadline of {id:?} will not be heard");
            }
        }
        let (callees_parked, callees_bytes) = self.callees.check_invariants(self.persisted);
        let is_full =
            |id| self.correspondents.get(id).is_some_and(|found| !self.datagrams.takes(found.endpoint().socket));
        let (found_parked, found_bytes) = self.correspondents.check_invariants(self.persisted, is_full);
        (parked, out_bytes) = (parked + callees_parked + found_parked, out_bytes + callees_bytes + found_bytes);
        let Room { sessions, strangers, parting, posts, .. } = self.admission.room;
        assert!(members <= sessions && self.strangers.len() <= strangers && self.posts.len() <= posts);
        assert!(self.parting.len() <= parting || self.stopping.is_some());
        assert_eq!(self.members, members, "how many have logged in");
        assert_eq!(self.out_bytes, out_bytes, "the sum of what is to be written");
        assert_eq!(self.in_flight_bytes, self.in_flight.iter().map(storage::weight).sum::<usize>());
        assert_eq!(self.deadlines.len(), deadlines, "a deadline of nobody");
        let lives = |id: &ConnectionId| self.connections.get(*id).is_some();
        let is_reached = |id| self.callees.get(id).is_some() || self.correspondents.get(id).is_some();
        let waits = |id: &ConnectionId| lives(id) || is_reached(*id);
        assert!(self.timers.owners().all(|id| waits(&id)), "a timer of nobody");
        assert_eq!(self.ready.iter().filter(|id| lives(id)).count(), listed, "the list of those with work");
        assert_eq!(self.dirty.iter().filter(|id| lives(id)).count(), dirty, "the list of those to be written to");
        assert_eq!(self.parked.iter().filter(|(_, id)| waits(id)).count(), parked, "the list of those that wait");
        assert_eq!(self.paced.iter().filter(|(_, id)| lives(id)).count(), paced, "the list of those that read");
        assert!(self.paced.iter().is_sorted_by_key(|(at, _)| at), "who may be written to first is first");
        assert!(self.parked.iter().is_sorted_by_key(|(batch, _)| batch), "who waits for the oldest batch is first");
    }

    /// Of what belongs to connections, by its name, how much there is. For the simulation: without connections nothing
    /// may be left.
    pub fn left(&self) -> [(&'static str, usize); 18] {
        [
            ("strangers", self.strangers.len()),
            ("posts", self.posts.len()),
            ("connections", self.connections.len()),
            ("clients that are reached by calls", self.callees.len()),
            ("calls", self.callees.calls()),
            ("clients that are reached by datagrams", self.correspondents.len()),
            ("expected", self.expected.len()),
            ("answers to log-ons", self.datagrams.replies.len()),
            ("timers", self.timers.len()),
            ("reading", self.paced.len()),
            ("ready", self.ready.len()),
            ("to be written to", self.dirty.len()),
            ("deadlines", self.deadlines.len()),
            ("batches in flight", self.in_flight.len()),
            ("waiting for a batch", self.parked.len()),
            ("questions", self.queries.len()),
            ("questions asked", self.asked.len()),
            ("bytes to be written", self.out_bytes),
        ]
    }
}

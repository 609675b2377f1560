//! Connections from where somebody is logged in who makes a connection for each request: they are no strangers, up to so
//! many. Knows neither sockets nor protocols.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::hub::id::ConnectionId;

/// So many of them may come from one address; whoever comes beside them is a stranger.
pub const AN_ADDRESS_MAX: usize = 64;

/// Those that are there.
#[derive(Debug)]
pub struct Posts {
    max: usize,
    all: HashMap<ConnectionId, IpAddr>,
    by_address: HashMap<IpAddr, usize>,
}

impl Posts {
    /// At most `max` of them.
    pub fn new(max: usize) -> Posts {
        Posts { max, all: HashMap::new(), by_address: HashMap::new() }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn has(&self, id: ConnectionId) -> bool {
        self.all.contains_key(&id)
    }

    /// One more, if there is room for it.
    pub fn add(&mut self, id: ConnectionId, address: IpAddr) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        if self.all.len() >= self.max || of_address >= AN_ADDRESS_MAX {
            return false;
        }
        self.all.insert(id, address);
        self.by_address.insert(address, of_address + 1);
        true
    }

    /// It is done, or somebody has logged in on it. Whoever is not here is left alone.
    pub fn remove(&mut self, id: ConnectionId) {
        let Some(address) = self.all.remove(&id) else { return };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 0 }
    }

    #[test]
    fn there_is_room_for_some_of_an_address_and_for_some_in_all() {
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut posts = Posts::new(AN_ADDRESS_MAX + 1);
        for slot in 0..AN_ADDRESS_MAX as u32 {
            assert!(posts.add(id(slot), here));
        }
        assert!(!posts.add(id(1000), here), "too many of the address");
        assert!(posts.add(id(1001), there));
        assert!(!posts.add(id(1002), there), "too many in all");
        posts.remove(id(0));
        posts.remove(id(0));
        assert!(posts.add(id(1000), here) && posts.has(id(1000)) && !posts.has(id(0)));
        for slot in 0..2000 {
            posts.remove(id(slot));
        }
        assert!(posts.is_empty() && posts.by_address.is_empty());
    }
}

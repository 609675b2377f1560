//! People who have no account yet, and make one. What they are then is people with devices, like the others.

use chatd::client::account::{Exchange, Happening, Purpose, Task};
use chatd::client::exit::Status;
use chatd::hub::credentials::Password;
use chatd::hub::name::UserName;

use super::{Happens, World};
use crate::link::{LinkId, MS, SECOND};
use crate::person::password;

pub struct Newcomer {
    pub user: UserName,
    link: Option<LinkId>,
    exchange: Option<Exchange>,
    /// How often the server was asked.
    tries: u32,
    /// There is the account.
    pub is_member: bool,
}

impl World {
    pub(super) fn add_newcomer(&mut self, user: UserName) {
        let newcomer = Newcomer { user, link: None, exchange: None, tries: 0, is_member: false };
        self.newcomers.push(newcomer);
        let at = self.dice.range(SECOND, self.mix.duration);
        self.at(at, Happens::SignUp(self.newcomers.len() - 1));
    }

    pub(super) fn newcomer_at(&self, link: LinkId) -> Option<usize> {
        self.newcomers.iter().position(|newcomer| newcomer.link == Some(link))
    }

    pub(super) fn sign_up(&mut self, index: usize) {
        let newcomer = &self.newcomers[index];
        if newcomer.is_member || newcomer.link.is_some() {
            return;
        }
        let user = newcomer.user.clone();
        let link = self.ask_for_link(&user, false, true);
        self.newcomers[index].link = Some(link);
    }

    /// The newcomer's connection is there.
    pub(super) fn begin_sign_up(&mut self, index: usize, link: LinkId) {
        let nonces = [self.dice.bytes(), self.dice.bytes()];
        let Some(binding) = self.links.map.get(&link).and_then(|link| link.binding.clone()) else { return };
        let newcomer = &mut self.newcomers[index];
        newcomer.tries += 1;
        let secret = Password::parse(&password(&newcomer.user)).expect("a password");
        let task = Task { user: newcomer.user.clone(), password: secret, purpose: Purpose::SignUp };
        newcomer.exchange = Some(Exchange::new(task, nonces, binding));
        self.go_on_signing_up(index, &[]);
    }

    pub(super) fn go_on_signing_up(&mut self, index: usize, bytes: &[u8]) {
        let newcomer = &mut self.newcomers[index];
        let (Some(exchange), Some(link)) = (&mut newcomer.exchange, newcomer.link) else { return };
        exchange.received(bytes);
        let output = exchange.take_output();
        let mut over = None;
        while let Some(happening) = exchange.next_happening() {
            if let Happening::Over(result) = happening {
                over = Some(result);
            }
        }
        self.links.send(&mut self.dice, self.now, link, true, &output);
        let Some(result) = over else { return };
        let (user, tries) = (newcomer.user.clone(), newcomer.tries);
        let is_there = self.disk.fold.has_account(&user);
        match result {
            Ok(()) if !is_there => self.ledger.broken(&format!("1: {user:?} was signed up, and is not on the disk")),
            Err(failure) if failure.status == Status::NotUnderstood => {
                self.ledger.broken(&format!("13: the server is not understood: {}", failure.text));
            }
            Err(failure) if failure.status == Status::Refused && tries == 1 => {
                self.ledger.broken(&format!("a free name was refused: {}", failure.text));
            }
            _ => {}
        }
        // Refused, an earlier try may have been the one that counts.
        if is_there && !self.newcomers[index].is_member {
            self.newcomers[index].is_member = true;
            self.users.push(user.clone());
            self.add_device(&user);
        }
        self.give_up_signing_up(index);
    }

    /// The connection is over; there may be another.
    pub(super) fn give_up_signing_up(&mut self, index: usize) {
        let Some(link) = self.newcomers[index].link.take() else { return };
        self.newcomers[index].exchange = None;
        self.links.fin(&mut self.dice, self.now, link, true);
        self.links.client_leaves(link);
        let pause = self.dice.range(50 * MS, 2 * SECOND);
        self.at(self.now + pause, Happens::SignUp(index));
    }
}

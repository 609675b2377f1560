//! A person at a terminal. What comes in is printed above the line being typed.

use std::collections::BTreeMap;

use super::run::Manner;
use super::{Chat, Done, Event, Happening, Now, Request, Session, Tag, show};
use crate::client::command::{self, Command, InChat};
use crate::client::exit::{Failure, Status};
use crate::client::interactive::editor::{Keyboard, Names, Purpose, Typed, know};
use crate::client::interactive::screen::{Look, Screen, now_ms};
use crate::client::interrupt::Interrupt;
use crate::client::output::Ended;
use crate::client::render::visible;
use crate::net::link::Bell;
use crate::wire::Protocol;
use crate::wire::UserName;

pub struct Talk {
    protocol: Protocol,
    screen: Screen,
    keyboard: Keyboard,
    names: Names,
    /// What waits for its answer.
    asked: BTreeMap<Tag, Request>,
    bell: Bell,
    /// Whether a chat begins or ends: the next prompt waits for that.
    deciding: Option<Tag>,
    /// Nobody types any more.
    over: Option<Status>,
}

impl Talk {
    pub fn new(protocol: Protocol, look: Look, bell: Bell) -> Talk {
        let (screen, keyboard, names) = (Screen::new(look), Keyboard::default(), Names::default());
        Talk { protocol, screen, keyboard, names, asked: BTreeMap::new(), bell, deciding: None, over: None }
    }

    /// Leaves the terminal as it was found.
    pub fn close(self, interrupt: &Interrupt) {
        self.keyboard.abandon(interrupt, self.screen.printer.is_some());
    }

    fn logged_in(&mut self, user: UserName) -> Result<(), Ended> {
        let hello = self.screen.note(&format!("you are online as {user}; these are the commands:"));
        self.screen.show(vec![hello, command::help(self.protocol)]);
        let (names, bell) = (self.names.clone(), self.bell.clone());
        let purpose = Purpose { protocol: self.protocol, user, lines: None, names, asks: false };
        match self.keyboard.open(purpose, bell) {
            Ok(printer) => self.screen.printer = printer,
            Err(error) => return Err(Failure::new(Status::NoServer, format!("the terminal: {error}")).into()),
        }
        Ok(())
    }

    fn answered(&mut self, tag: Tag, answer: &Result<Done, Failure>) {
        let Some(request) = self.asked.remove(&tag) else { return };
        self.deciding.take_if(|deciding| *deciding == tag);
        if let Ok(Done::Online(users)) = answer {
            know(&self.names, users);
        }
        let line = match answer {
            // It comes back as everyone sees it.
            Ok(Done::HandedOver) if self.protocol == Protocol::Nick => return,
            // What was typed stands there.
            Ok(Done::HandedOver) if matches!(request, Request::Say { .. }) => return,
            Ok(done) => show::confirmation(&request, done, self.screen.look.tick()),
            Err(failure) => self.screen.error(&failure.text),
        };
        self.screen.show(vec![line]);
    }

    fn event(&mut self, event: &Event) {
        let said = |how: &str, from: &UserName, text: &str| {
            know(&self.names, std::slice::from_ref(from));
            format!("{}{how}: {}", self.screen.bold(from.as_str()), visible(text))
        };
        let line = match event {
            Event::Message { from, text } => said("", from, text),
            Event::Broadcast { from, text } => said(" (to everyone)", from, text),
            Event::Private { from, text } => said(" (privately)", from, text),
            Event::Asks { user } => {
                know(&self.names, std::slice::from_ref(user));
                self.screen.bold(&show::event_line(event))
            }
            Event::Online { user } | Event::Offline { user } => {
                know(&self.names, std::slice::from_ref(user));
                self.screen.dim(&show::event_line(event))
            }
            Event::ChatStarted(Chat { peer, .. }) => {
                know(&self.names, std::slice::from_ref(peer));
                let how = "what you type is said there, 'end chat' ends it";
                self.screen.bold(&format!("{}: {how}", show::event_line(event)))
            }
            Event::ChatEnded(_) => self.screen.bold(&show::event_line(event)),
            Event::Note { .. } | Event::Address { .. } | Event::Acknowledged { .. } => {
                self.screen.dim(&show::event_line(event))
            }
        };
        let rings = |event: &Event| {
            matches!(event, Event::Message { .. } | Event::Private { .. } | Event::Asks { .. } | Event::ChatStarted(_))
        };
        self.screen.rings |= rings(event);
        let line = self.screen.stamp(now_ms(), &line);
        self.screen.show(vec![line]);
    }

    fn typed(&mut self, session: &mut dyn Session, now: Now, line: &str) {
        let why = match command::parse_line(line, self.protocol, false) {
            Ok(None) => return,
            Ok(Some(Command::LogOut)) => return self.over = Some(Status::Done),
            Ok(Some(Command::Help)) => return self.screen.show(vec![command::help(self.protocol)]),
            Ok(Some(Command::Wait { .. })) => Failure::usage(command::WAIT_IS_FOR_SCRIPTS),
            Ok(Some(command)) => match Request::of(command) {
                Some(Ok(request)) => return self.ask(session, now, request),
                Some(Err(why)) => why,
                None => return,
            },
            Err(why) => why,
        };
        self.complain(&why.text);
    }

    /// A line was typed in a chat with this user, which may be over since.
    fn typed_in_chat(&mut self, session: &mut dyn Session, now: Now, with: &UserName, line: &str) {
        let text = match command::read_in_chat(line) {
            InChat::Command(line) => return self.typed(session, now, line),
            InChat::Said(_) if command::is_of_session(line) => return self.typed(session, now, line),
            InChat::Said(text) => text,
        };
        if session.chats_with() != Some(with) {
            return self.complain(&format!("not said: the chat with {with} is over"));
        }
        match command::parse_text(text) {
            Ok(text) => self.ask(session, now, Request::Say { text }),
            Err(why) => self.complain(&why.text),
        }
    }

    fn ask(&mut self, session: &mut dyn Session, now: Now, request: Request) {
        let tag = session.ask(now, request.clone());
        if matches!(request, Request::Chat { .. } | Request::EndChat) {
            self.deciding = Some(tag);
        }
        self.asked.insert(tag, request);
    }

    fn complain(&mut self, text: &str) {
        let line = self.screen.error(text);
        self.screen.show(vec![line]);
    }

    fn leave(&mut self, status: Status) {
        self.screen.printer = None;
        self.over = Some(status);
    }
}

impl Manner for Talk {
    fn hear(&mut self, _: &mut dyn Session, _: Now, happening: Happening) -> Result<(), Ended> {
        match happening {
            Happening::LoggedIn { user } => return self.logged_in(user),
            Happening::Answered { tag, answer } => self.answered(tag, &answer),
            Happening::Event(event) => self.event(&event),
            Happening::Warning(text) => self.complain(&text),
            Happening::End(_) => {}
        }
        Ok(())
    }

    fn go_on(&mut self, session: &mut dyn Session, now: Now) -> Result<Option<Status>, Ended> {
        while let Some(typed) = self.keyboard.next() {
            match typed {
                Typed::Line(line) => self.typed(session, now, &line),
                Typed::InChat { with, line } => self.typed_in_chat(session, now, &with, &line),
                // Nothing here asks for them.
                Typed::Passwords(_) => {}
                Typed::End => self.leave(Status::Done),
                Typed::Interrupt => self.leave(Status::Interrupted),
            }
        }
        if self.deciding.is_none() {
            self.keyboard.chats_with(session.chats_with());
        }
        Ok(self.over)
    }
}

//! LK-10: whatever an attacker and a victim do, in whatever order, the attacker never holds a live session, grant or link of
//! the user whose verified address is the victim's.
//!
//! The attacker has a mailbox, accounts at providers that claim any address, and may have prepared an account that was
//! imported with the victim's address. Only a provider that runs a mailbox is believed about it, so none of the attacker's
//! accounts has that of the victim.
//!
//! LK-10 also names changing an address and deleting a user: the service has neither yet, so they are no steps here. Whoever
//! adds one adds its step.

use std::collections::BTreeSet;

use entity::{grant_family, session, user_identity};
use entree::{
    federation::linking::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
    login::{
        authenticate::link_account,
        evidence::{BrowserState, EmailEvidence, Evidence, SignInAttempt},
        finish::finish_sign_in,
        first_party::{Issuance, IssueTokens as _},
        pending_link::LinkRequirement,
    },
    oauth::issuer::Issuer,
    session::{AuthMethod, CurrentSession, NewSession, Session},
    user::{self, Address, UpstreamAccount, User, identity},
    web::caller::Caller,
};
use poem::Request;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::{
    linking::{arrived, provider},
    oauth::register,
    test_app::TestApp,
};

const VICTIM: &str = "victim@example.test";
const ATTACKER: &str = "attacker@example.test";
const RUNS: u64 = 40;
const STEPS: usize = 40;

/// Whose hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hand {
    Attacker,
    Victim,
}

/// What a hand holds.
#[derive(Default)]
struct Holdings {
    sessions: BTreeSet<Uuid>,
    /// The session that its browser shows.
    current: Option<CurrentSession>,
    /// An account that waits for a proof in its browser.
    pending: Option<UpstreamAccount>,
}

struct World {
    test_app: TestApp,
    caller: Caller,
    attacker: Holdings,
    victim: Holdings,
    dice: u64,
    log: Vec<String>,
}

impl World {
    /// xorshift64: the same numbers for the same seed.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn of(&mut self, hand: Hand) -> &mut Holdings {
        match hand {
            Hand::Attacker => &mut self.attacker,
            Hand::Victim => &mut self.victim,
        }
    }

    /// A session has come to a hand: tokens, too.
    async fn browser_state(&mut self, hand: Hand, session: Session, user: User) {
        let config = self.test_app.app.config.get();
        let client = config
            .clients
            .iter()
            .find(|client| client.client_id == "web")
            .unwrap();
        let tx = self.test_app.tx().await;
        let issue = Issuance {
            client,
            session: &session,
            user: &user,
            scope: "openid offline_access",
            nonce: None,
        };
        Issuer {
            app: self.test_app.app.clone(),
        }
        .issue(&tx, issue, &self.caller)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let held = self.of(hand);
        held.sessions.insert(session.id);
        held.current = Some(CurrentSession { session, user });
    }

    /// The current session, if it is still one.
    async fn current(&mut self, hand: Hand) -> Option<CurrentSession> {
        let id = self.of(hand).current.as_ref()?.session.id;
        let config = self.test_app.app.config.get();
        let now = self.test_app.app.clock().now();
        entree::session::find_live(self.test_app.app.db.read(), id, now, &config.session)
            .await
            .unwrap()
    }

    /// Proves the hand's own address by mail, with whatever waits in its browser.
    async fn proves(&mut self, hand: Hand) {
        let address = Address::parse(
            if hand == Hand::Victim {
                VICTIM
            } else {
                ATTACKER
            },
            false,
        )
        .unwrap();
        let key = address.key(&self.test_app.app.macs.address);
        let link = self.of(hand).pending.take();
        let config = self.test_app.app.config.get();
        let tx = self.test_app.tx().await;
        let attempt = SignInAttempt {
            evidence: Evidence::Email(EmailEvidence {
                address: &address,
                address_key: &key,
                pending_account: link.as_ref(),
            }),
            remembered: false,
            locale: "en",
            browser_state: BrowserState::default(),
            caller: &self.caller,
        };
        let done = finish_sign_in(&tx, &attempt, &config).await.unwrap();
        // E: half of them say yes.
        if let Some(link) = link.filter(|_| !done.linked && self.dice.is_multiple_of(2)) {
            link_account(&tx, &done.user, &link, &self.caller)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        self.browser_state(hand, done.session, done.user).await;
    }

    /// Comes back from a provider; the attacker's accounts claim any address, their provider runs the attacker's alone.
    async fn comes(&mut self, hand: Hand) {
        let number = self.roll(3);
        let claims_victim = hand == Hand::Victim || self.roll(2) == 0;
        let email = if claims_victim { VICTIM } else { ATTACKER };
        let own = (hand == Hand::Victim) == claims_victim;
        let authoritative = own && self.roll(2) == 0;
        let came = UpstreamLogin {
            account: arrived(&format!("{hand:?} {number}"), Some(email)),
            authoritative,
            amr: String::new(),
        };
        let current = self.current(hand).await;
        let (connecting, switch) = (current.is_some() && self.roll(3) == 0, self.roll(2) == 0);
        let caller = self.caller.clone();
        let browser_state = BrowserState {
            current: current.as_ref(),
            ..BrowserState::default()
        };
        let at = LinkContext {
            browser_state,
            connecting,
            switch,
            remembered: false,
            locale: "en",
            caller: &caller,
        };
        match settle(&self.test_app.app, &came, at).await.unwrap() {
            LinkOutcome::SignedIn(done) => self.browser_state(hand, done.session, done.user).await,
            LinkOutcome::Waits(LinkRequirement::VerifiedEmail) => {
                self.of(hand).pending = Some(came.account)
            }
            LinkOutcome::Waits(LinkRequirement::LinkConsent) => {
                let Some(current) = current else { return };
                let tx = self.test_app.tx().await;
                link_account(&tx, &current.user, &came.account, &caller)
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
            LinkOutcome::Waits(LinkRequirement::SwitchConsent)
            | LinkOutcome::OwnAccount
            | LinkOutcome::Refused(_) => {}
        }
    }

    /// Disconnects one of one's accounts.
    async fn unlinks(&mut self, hand: Hand) {
        let Some(current) = self.current(hand).await else {
            return;
        };
        let links = identity::list_for_user(self.test_app.app.db.read(), current.user.id)
            .await
            .unwrap();
        let Some(link) = links.first() else { return };
        let tx = self.test_app.tx().await;
        identity::unlink(&tx, current.user.id, link.id, true)
            .await
            .unwrap();
        entree::session::end_from_identity(&tx, link.id)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// An account is imported with the victim's address, and the attacker has got into it before anybody proved it.
    async fn prepares(&mut self) {
        let address = Address::parse(VICTIM, false).unwrap();
        if user::is_claimed(self.test_app.app.db.read(), &address)
            .await
            .unwrap()
        {
            return;
        }
        let number = self.roll(3);
        let config = self.test_app.app.config.get();
        let tx = self.test_app.tx().await;
        let user = user::import_unverified(&tx, &address).await.unwrap();
        identity::link(&tx, user.id, &arrived(&format!("Attacker {number}"), None))
            .await
            .unwrap();
        let start = NewSession {
            user: &user,
            method: AuthMethod::Email,
            device: "",
            remembered: false,
            browser: None,
        };
        let (session, _) = entree::session::start(&tx, start, &config.session)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.browser_state(Hand::Attacker, session, user).await;
    }

    async fn step(&mut self) {
        let hand = if self.roll(2) == 0 {
            Hand::Attacker
        } else {
            Hand::Victim
        };
        let what = self.roll(8);
        self.log.push(format!("{hand:?} {what}"));
        match what {
            0 | 1 => self.proves(hand).await,
            2..=4 => self.comes(hand).await,
            5 => self.unlinks(hand).await,
            6 => self.prepares().await,
            _ => self.of(hand).current = None,
        }
        self.test_app.pass(1);
    }

    /// What must hold after every step.
    async fn check(&self) {
        let db = self.test_app.app.db.read();
        let Some(victim) = user::find_by_address(db, &Address::parse(VICTIM, false).unwrap())
            .await
            .unwrap()
        else {
            return;
        };
        let (config, now) = (
            self.test_app.app.config.get(),
            self.test_app.app.clock().now(),
        );
        for id in &self.attacker.sessions {
            let live = entree::session::find_live(db, *id, now, &config.session)
                .await
                .unwrap();
            assert!(
                live.is_none_or(|live| live.user.id != victim.id),
                "a session: {:?}",
                self.log
            );
        }
        let links = identity::list_for_user(db, victim.id).await.unwrap();
        let foreign = links
            .iter()
            .find(|link| link.subject.starts_with("Attacker"));
        assert!(foreign.is_none(), "a link: {:?}", self.log);
        let grants = grant_family::Entity::find()
            .filter(grant_family::Column::UserId.eq(victim.id))
            .filter(grant_family::Column::RevokedAt.is_null())
            .filter(grant_family::Column::AuthEpoch.eq(victim.auth_epoch))
            .all(db)
            .await
            .unwrap();
        let mine = |id: Option<Uuid>| id.is_some_and(|id| self.attacker.sessions.contains(&id));
        assert!(
            !grants.iter().any(|grant| mine(grant.session_id)),
            "a grant: {:?}",
            self.log
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lk_10_an_attacker_never_holds_anything_of_the_victims_account() {
    let (mut proven, mut linked, mut prepared) = (0, 0, 0);
    for seed in 1..=RUNS {
        let test_app = TestApp::embedded().await;
        register(&test_app);
        test_app.configure(|config| config.providers.push(provider("office")));
        let caller = Caller::resolve(&Request::builder().finish(), &[]);
        let dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut world = World {
            test_app,
            caller,
            attacker: Holdings::default(),
            victim: Holdings::default(),
            dice,
            log: Vec::new(),
        };
        for _ in 0..STEPS {
            world.step().await;
            world.check().await;
        }
        let db = world.test_app.app.db.read();
        proven += usize::from(
            user::find_by_address(db, &Address::parse(VICTIM, false).unwrap())
                .await
                .unwrap()
                .is_some(),
        );
        linked += user_identity::Entity::find().all(db).await.unwrap().len();
        prepared += session::Entity::find().all(db).await.unwrap().len();
    }
    // The runs have met what they are about.
    assert!(
        proven > 30 && linked > 80 && prepared > 300,
        "{proven} {linked} {prepared}"
    );
}

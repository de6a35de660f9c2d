//! LK-10: whatever an attacker and a victim do, in whatever order, the attacker never has a live
//! session, grant or link of the user whose verified address is the victim's.
//!
//! The attacker has a mailbox and accounts at providers that claim any address, and may have
//! prepared an account that was imported with the victim's address. Only a provider that runs a
//! mailbox is authoritative for it, so that no account of the attacker is authoritative for the
//! victim's address.
//!
//! LK-10 also names changing an address and deleting a user. The service has neither yet; a change
//! that adds one adds its step here.

use std::collections::BTreeSet;

use entity::{grant_family, session, user_identity};
use entree::{
    federation::linking::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
    login::{
        authenticate::{BrowserState, EmailEvidence, Evidence, SignInAttempt, link_account},
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
    federation::linking::{account_at_provider, provider},
    oauth::register,
    test_app::TestApp,
};

const VICTIM: &str = "victim@example.test";
const ATTACKER: &str = "attacker@example.test";
const RUNS: u64 = 40;
const STEPS: usize = 40;

/// Who acts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Actor {
    Attacker,
    Victim,
}

/// What an actor has.
#[derive(Default)]
struct Holdings {
    sessions: BTreeSet<Uuid>,
    /// The session of the browser.
    current: Option<CurrentSession>,
    /// The account that waits for a verification in the browser.
    pending: Option<UpstreamAccount>,
}

struct Simulation {
    test_app: TestApp,
    caller: Caller,
    attacker: Holdings,
    victim: Holdings,
    dice: u64,
    log: Vec<String>,
}

impl Simulation {
    /// Returns a number below `sides` by xorshift64: the same numbers for the same seed.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn holdings(&mut self, actor: Actor) -> &mut Holdings {
        match actor {
            Actor::Attacker => &mut self.attacker,
            Actor::Victim => &mut self.victim,
        }
    }

    /// Gives a session to an actor, and tokens.
    async fn receive_session(&mut self, actor: Actor, session: Session, user: User) {
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
            jkt: None,
        };
        Issuer {
            app: self.test_app.app.clone(),
        }
        .issue(&tx, issue, &self.caller)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let holdings = self.holdings(actor);
        holdings.sessions.insert(session.id);
        holdings.current = Some(CurrentSession { session, user });
    }

    /// Returns the current session, if it is live.
    async fn current(&mut self, actor: Actor) -> Option<CurrentSession> {
        let id = self.holdings(actor).current.as_ref()?.session.id;
        let config = self.test_app.app.config.get();
        let now = self.test_app.app.clock().now();
        entree::session::find_live(self.test_app.app.db.read(), id, now, &config.session)
            .await
            .unwrap()
    }

    /// Signs the actor in by email, with the account that waits in the browser.
    async fn sign_in_by_email(&mut self, actor: Actor) {
        let address = Address::parse(
            if actor == Actor::Victim {
                VICTIM
            } else {
                ATTACKER
            },
            false,
        )
        .unwrap();
        let key = address.key(&self.test_app.app.macs.address);
        let link = self.holdings(actor).pending.take();
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
        // LC-E: half of the users agree.
        if let Some(link) = link.filter(|_| !done.linked && self.dice.is_multiple_of(2)) {
            link_account(&tx, &done.user, &link, &self.caller)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        self.receive_session(actor, done.session, done.user).await;
    }

    /// Returns from a provider. The attacker's accounts claim any address; their provider runs only
    /// the attacker's mailbox.
    async fn return_from_provider(&mut self, actor: Actor) {
        let number = self.roll(3);
        let claims_victim = actor == Actor::Victim || self.roll(2) == 0;
        let email = if claims_victim { VICTIM } else { ATTACKER };
        let own = (actor == Actor::Victim) == claims_victim;
        let authoritative = own && self.roll(2) == 0;
        let login = UpstreamLogin {
            account: account_at_provider(&format!("{actor:?} {number}"), Some(email)),
            authoritative,
            amr: String::new(),
        };
        let current = self.current(actor).await;
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
        match settle(&self.test_app.app, &login, at).await.unwrap() {
            LinkOutcome::SignedIn(done) => {
                self.receive_session(actor, done.session, done.user).await
            }
            LinkOutcome::Waits(LinkRequirement::VerifiedEmail) => {
                self.holdings(actor).pending = Some(login.account)
            }
            LinkOutcome::Waits(LinkRequirement::LinkConsent) => {
                let Some(current) = current else { return };
                let tx = self.test_app.tx().await;
                link_account(&tx, &current.user, &login.account, &caller)
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
            LinkOutcome::Waits(LinkRequirement::SwitchConsent)
            | LinkOutcome::OwnAccount
            | LinkOutcome::Refused(_) => {}
        }
    }

    /// Disconnects an account of the actor.
    async fn disconnect(&mut self, actor: Actor) {
        let Some(current) = self.current(actor).await else {
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

    /// Imports a user with the victim's address, whom the attacker controls before the address is
    /// verified.
    async fn prepare_user(&mut self) {
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
        identity::link(
            &tx,
            user.id,
            &account_at_provider(&format!("Attacker {number}"), None),
        )
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
        self.receive_session(Actor::Attacker, session, user).await;
    }

    async fn step(&mut self) {
        let actor = if self.roll(2) == 0 {
            Actor::Attacker
        } else {
            Actor::Victim
        };
        let what = self.roll(8);
        self.log.push(format!("{actor:?} {what}"));
        match what {
            0 | 1 => self.sign_in_by_email(actor).await,
            2..=4 => self.return_from_provider(actor).await,
            5 => self.disconnect(actor).await,
            6 => self.prepare_user().await,
            _ => self.holdings(actor).current = None,
        }
        self.test_app.pass(1);
    }

    /// Checks what must hold after every step.
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
        let is_attackers =
            |id: Option<Uuid>| id.is_some_and(|id| self.attacker.sessions.contains(&id));
        assert!(
            !grants.iter().any(|grant| is_attackers(grant.session_id)),
            "a grant: {:?}",
            self.log
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lk_10_an_attacker_never_has_access_to_the_victims_account() {
    let (mut proven, mut linked, mut prepared) = (0, 0, 0);
    for seed in 1..=RUNS {
        let test_app = TestApp::embedded().await;
        register(&test_app);
        test_app.configure(|config| config.providers.push(provider("office")));
        let caller = Caller::resolve(&Request::builder().finish(), &[]);
        let dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut simulation = Simulation {
            test_app,
            caller,
            attacker: Holdings::default(),
            victim: Holdings::default(),
            dice,
            log: Vec::new(),
        };
        for _ in 0..STEPS {
            simulation.step().await;
            simulation.check().await;
        }
        let db = simulation.test_app.app.db.read();
        proven += usize::from(
            user::find_by_address(db, &Address::parse(VICTIM, false).unwrap())
                .await
                .unwrap()
                .is_some(),
        );
        linked += user_identity::Entity::find().all(db).await.unwrap().len();
        prepared += session::Entity::find().all(db).await.unwrap().len();
    }
    // The runs have reached the states that they test.
    assert!(
        proven > 30 && linked > 80 && prepared > 300,
        "{proven} {linked} {prepared}"
    );
}

//! Tokens for the sign-in API, which reaches this module only through [`IssueTokens`]: sign-in
//! methods do not import `oauth`.

use uuid::Uuid;

use super::{
    exchange_rules,
    grant_check::SignIn,
    grant_store,
    issue::{NewGrant, TokenSubject, issue_tokens, new_grant},
};
use crate::{
    app::App,
    audit::{Event, Kind},
    db::{Tx, TxFuture},
    login::first_party::{Issuance, IssueTokens, IssuedTokens},
    secret::public_id,
    web::caller::Caller,
};

/// Issues and revokes tokens for sign-in methods.
#[derive(Debug)]
pub struct Issuer {
    pub app: App,
}

impl IssueTokens for Issuer {
    fn issue<'a>(
        &'a self,
        tx: &'a Tx,
        issuance: Issuance<'a>,
        caller: &'a Caller,
    ) -> TxFuture<'a, IssuedTokens> {
        Box::pin(async move {
            let Issuance {
                client,
                session,
                user,
                nonce,
                ..
            } = issuance;
            let config = self.app.config.get();
            let scope = exchange_rules::requestable(&config, client, None, issuance.scope);
            let new = NewGrant {
                id: public_id(),
                user,
                sign_in: &SignIn::from(session),
                client,
                scope: &scope,
                resources: None,
                claims: "",
                jkt: issuance.jkt,
            };
            let (grant, refresh_token) = new_grant(&self.app, &config, new, tx.now);
            let event = Event::new(Kind::TokenIssued)
                .user(user.id)
                .session(session.id)
                .client(Some(&client.client_id))
                .caller(&caller.network, &caller.request_id);
            grant_store::insert(tx, grant.clone(), event).await?;
            grant_store::revoke_surplus(tx, user.id, &client.client_id).await?;
            let subject = TokenSubject {
                grant: &grant,
                user,
                client,
                scope: &scope,
                audience: config.resources.spelled(&client.audience),
                nonce,
                jkt: issuance.jkt,
            };
            let tokens = issue_tokens(&self.app, &config, tx, &subject).await?;
            Ok(IssuedTokens {
                access_token: tokens.access_token,
                token_type: tokens.token_type,
                expires_in: tokens.expires_in,
                id_token: tokens.id_token,
                refresh_token,
                scope: tokens.scope,
            })
        })
    }

    fn revoke_for_identity<'a>(
        &'a self,
        tx: &'a Tx,
        user: Uuid,
        identity: Uuid,
        sessions: &'a [Uuid],
    ) -> TxFuture<'a, u64> {
        Box::pin(grant_store::revoke_for_identity(
            tx, user, identity, sessions,
        ))
    }
}

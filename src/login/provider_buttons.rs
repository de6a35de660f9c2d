//! The buttons of upstream providers, in the user's language, and the forms that they submit.

use uuid::Uuid;

use super::{context::RequestContext, page::ProviderButton};
use crate::{
    app::App,
    config::{Provider, Reloadable},
    web::locale::Localizer,
};

/// The name of the form that starts a sign-in at a provider. Its token is good for one provider and
/// one client request (see [`sign_in_form_context`]).
pub const SIGN_IN_FORM: &str = "upstream";

/// Returns what the token of [`SIGN_IN_FORM`] is bound to: the provider, and the client request
/// that continues after the sign-in.
#[must_use]
pub fn sign_in_form_context(provider: &str, txn: Option<&str>) -> String {
    format!("{provider} {}", txn.unwrap_or_default())
}

/// Returns the name of the form that connects an account at this provider to the signed-in user.
#[must_use]
pub fn connect_form(provider: &str) -> String {
    format!("connect {provider}")
}

/// Returns the name of the form that disconnects one linked account.
#[must_use]
pub fn disconnect_form(identity: Uuid) -> String {
    format!("disconnect {identity}")
}

/// The buttons of the sign-in page.
#[must_use]
pub fn sign_in_buttons(
    app: &App,
    context: &RequestContext,
    txn: Option<&str>,
) -> Vec<ProviderButton> {
    let text = |provider: &Provider| sign_in_text(&context.localizer, provider);
    let form_token =
        |id: &str| context.form_token(app, SIGN_IN_FORM, &sign_in_form_context(id, txn));
    buttons(&context.config, text, form_token)
}

/// Returns one button per enabled provider, in the configured order.
pub fn buttons(
    config: &Reloadable,
    text: impl Fn(&Provider) -> String,
    form_token: impl Fn(&str) -> String,
) -> Vec<ProviderButton> {
    let mut enabled: Vec<&Provider> = config
        .providers
        .iter()
        .filter(|provider| provider.enabled)
        .collect();
    enabled.sort_by_key(|provider| provider.order);
    let button = |provider: &Provider| ProviderButton {
        id: provider.id.clone(),
        text: text(provider),
        icon: icon(provider.shown_icon()),
        form_token: form_token(&provider.id),
    };
    enabled.into_iter().map(button).collect()
}

/// Returns the display name of a provider, or generic words if it is not configured: an id may come
/// from a URL that anyone can type.
#[must_use]
pub fn display_name(config: &Reloadable, id: &str, localizer: &Localizer) -> String {
    config
        .provider_name(id)
        .map_or_else(|| localizer.text("upstream-provider"), str::to_owned)
}

/// Returns the text that the operator configured for this locale (or, for `fr-CH`, for `fr`), else
/// the default text with the provider's name.
fn sign_in_text(localizer: &Localizer, provider: &Provider) -> String {
    let tag: &str = &localizer.tag;
    let primary = tag.split('-').next().unwrap_or(tag);
    let configured = provider
        .button
        .get(tag)
        .or_else(|| provider.button.get(primary));
    configured.cloned().unwrap_or_else(|| {
        localizer.text_with(
            "sign-in-provider",
            &[("provider", provider.shown_name().to_owned())],
        )
    })
}

/// Returns a plain icon of our own in the page's colour: no provider's logo is shipped.
fn icon(name: &str) -> &'static str {
    macro_rules! letter {
        ($letter:literal) => {
            concat!(
                r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><rect width="22" height="22" x="1" y="1" "#,
                r#"rx="6"/><text x="12" y="17" text-anchor="middle">"#,
                $letter,
                "</text></svg>"
            )
        };
    }
    match name {
        "google" => letter!("G"),
        "microsoft" => letter!("M"),
        "apple" => letter!("A"),
        "gitlab" => letter!("GL"),
        "keycloak" => letter!("K"),
        "github" => letter!("GH"),
        _ => concat!(
            r#"<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><circle cx="8" cy="12" r="5"/>"#,
            r#"<path d="M13 12h9M18 12v4M22 12v3"/></svg>"#
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::web::locale::Texts;

    #[test]
    fn up_01_a_button_shows_the_configured_text_of_the_users_locale_else_the_default() {
        let plain: Provider =
            toml::from_str("id = \"work\"\nname = \"Example\"\nclient_id = \"c\"").unwrap();
        let own: Provider = toml::from_str(
            "id = \"work\"\nname = \"Example\"\nclient_id = \"c\"\nbutton = { fr = \"Entrer avec Example\" }",
        )
        .unwrap();
        let texts = Texts::default();
        assert_eq!(
            sign_in_text(&texts.localizer("en"), &plain),
            "Continue with Example"
        );
        assert_eq!(
            sign_in_text(&texts.localizer("en"), &own),
            "Continue with Example"
        );
        assert_eq!(
            sign_in_text(&texts.localizer("fr"), &own),
            "Entrer avec Example"
        );
    }

    #[test]
    fn every_configurable_icon_exists() {
        for name in crate::config::providers::ICONS {
            assert!(icon(name).starts_with("<svg"), "{name}");
        }
        let icons: std::collections::BTreeSet<_> = crate::config::providers::ICONS
            .iter()
            .map(|name| icon(name))
            .collect();
        assert_eq!(icons.len(), crate::config::providers::ICONS.len());
    }
}

# Letters. No code in a heading: it is the subject too, and shows on lock screens.

mail-sign-in-heading = Sign in to { $what }
mail-sign-in-intro =
    { $minutes ->
        [one] Open this link in the browser in which you asked for it. It works once, within one minute.
       *[other] Open this link in the browser in which you asked for it. It works once, within { $minutes } minutes.
    }
mail-sign-in-button = Sign in
mail-sign-in-code = Reading this on another device? Then type this code where you began, at { $domain }:
mail-sign-in-code-only = Type it only at { $domain }, and give it to nobody. We never ask for it by phone or e-mail.
mail-sign-in-facts = This was asked for by:
mail-sign-in-ignore = If that was not you, do nothing: without this mail nobody gets in.

mail-no-account-heading = No account at { $what }
mail-no-account-intro = Somebody tried to sign in at { $domain } with this address, but it has no account there. Perhaps you use another address. New accounts are opened by the people who run that service.
mail-no-account-facts = What we know of it:
mail-no-account-ignore = If that was not you, do nothing: nothing has happened, and we tell you at most once a day.

mail-access-reset-heading = Your address is now confirmed at { $domain }
mail-access-reset-intro = You have just proven for the first time that this address is yours at { $domain }. It had been entered there before, without proof, so all older access to the account was ended: sign-ins on other devices, applications and connected providers.
mail-access-reset-again = Where that was you, simply sign in again.
mail-access-reset-facts = What we know of it:
mail-access-reset-ignore = If that was not you, somebody can read your mail: change the password of your mailbox, then tell the people who run this service.

mail-provider-connected-heading = { $provider } is now connected to your account at { $domain }
mail-provider-connected-intro = From now on your account at { $provider } signs you in at { $domain }. Nothing else has changed: a link by e-mail works as before.
mail-provider-connected-ignore = If that was not you, sign in at { $domain } by e-mail at once, disconnect { $provider } on your account page, remove every application there that you do not know under “Applications with access”, and sign out everywhere.
mail-provider-disconnected-heading = { $provider } is no longer connected to your account at { $domain }
mail-provider-disconnected-intro = { $provider } no longer signs you in at { $domain }, and the sessions that came from it have ended. A link by e-mail works as before.
mail-provider-disconnected-ignore = If that was not you, sign in at { $domain } by e-mail at once, remove every application that you do not know under “Applications with access” on your account page, and sign out everywhere.
mail-provider-facts = What we know of it:

mail-fact = { $label }: { $value }
mail-fact-client = Application
mail-fact-device = Device
mail-fact-place = Near
mail-fact-time = Time
mail-fact-domain = Website

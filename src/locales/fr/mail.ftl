# E-mails. Aucun titre ne contient de code : il sert aussi d’objet, que l’écran verrouillé affiche.

mail-sign-in-heading = Connexion à { $what }
mail-sign-in-intro =
    { $minutes ->
        [one] Ouvrez ce lien dans le navigateur où vous l’avez demandé. Il est valable { $minutes } minute et ne sert qu’une fois.
       *[other] Ouvrez ce lien dans le navigateur où vous l’avez demandé. Il est valable { $minutes } minutes et ne sert qu’une fois.
    }
mail-sign-in-button = Se connecter
mail-sign-in-code = Vous lisez cet e-mail sur un autre appareil ? Saisissez ce code là où vous avez commencé, sur { $domain } :
mail-sign-in-code-only = Ne saisissez ce code que sur { $domain } et ne le communiquez à personne. Nous ne le demandons jamais par téléphone ni par e-mail.
mail-sign-in-facts = Origine de la demande :
mail-sign-in-ignore = Vous n’êtes pas à l’origine de cette demande ? Ignorez cet e-mail. Personne ne peut se connecter sans lui.

mail-no-account-heading = Aucun compte sur { $what }
mail-no-account-intro = Une personne a voulu se connecter sur { $domain } avec cette adresse e-mail, mais celle-ci n’y a pas de compte. Vous avez peut-être utilisé une autre adresse. Pour obtenir un compte, adressez-vous à l’équipe d’administration de { $domain }.
mail-no-account-facts = Détails :
mail-no-account-ignore = Ce n’était pas vous ? Ignorez cet e-mail. Vous le recevez au plus une fois par jour.

mail-access-reset-heading = Votre adresse e-mail est maintenant confirmée sur { $domain }
mail-access-reset-intro = Vous avez confirmé pour la première fois que cette adresse e-mail est la vôtre. Elle avait été saisie auparavant sur { $domain }, sans confirmation. Nous avons donc mis fin à tous les anciens accès au compte : sessions sur d’autres appareils, applications et fournisseurs associés.
mail-access-reset-again = Si c’était vous, reconnectez-vous simplement.
mail-access-reset-facts = Détails :
mail-access-reset-ignore = Ce n’était pas vous ? Une autre personne lit peut-être vos e-mails. Changez le mot de passe de votre messagerie, puis prévenez l’équipe d’administration du site.

mail-provider-connected-heading = Votre compte sur { $domain } est désormais associé à { $provider }
mail-provider-connected-intro = Vous pouvez désormais vous connecter sur { $domain } avec { $provider }. La connexion par e-mail reste possible.
mail-provider-connected-ignore = Ce n’était pas vous ? Connectez-vous tout de suite par e-mail sur { $domain }. Sur la page de votre compte, dissociez { $provider } et retirez l’accès des applications que vous ne connaissez pas. Déconnectez-vous ensuite partout.
mail-provider-disconnected-heading = Votre compte sur { $domain } n’est plus associé à { $provider }
mail-provider-disconnected-intro = Vous ne pouvez plus vous connecter sur { $domain } avec { $provider }. Nous avons fermé les sessions ouvertes de cette manière. La connexion par e-mail reste possible.
mail-provider-disconnected-ignore = Ce n’était pas vous ? Connectez-vous tout de suite par e-mail sur { $domain }. Sur la page de votre compte, retirez l’accès des applications que vous ne connaissez pas. Déconnectez-vous ensuite partout.
mail-provider-facts = Détails :

mail-fact = { $label } : { $value }
mail-fact-client = Application
mail-fact-device = Appareil
mail-fact-place = Lieu approximatif
mail-fact-time = Heure
mail-fact-domain = Site

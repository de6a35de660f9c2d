# Lettres. Pas de code dans un titre : il sert aussi d’objet et s’affiche sur l’écran verrouillé.

mail-sign-in-heading = Connexion à { $what }
mail-sign-in-intro =
    { $minutes ->
        [one] Ouvrez ce lien dans le navigateur où vous l’avez demandé. Il ne fonctionne qu’une fois, pendant { $minutes } minute.
       *[other] Ouvrez ce lien dans le navigateur où vous l’avez demandé. Il ne fonctionne qu’une fois, pendant { $minutes } minutes.
    }
mail-sign-in-button = Se connecter
mail-sign-in-code = Vous lisez ce message sur un autre appareil ? Saisissez alors ce code là où vous avez commencé, sur { $domain } :
mail-sign-in-code-only = Ne le saisissez que sur { $domain } et ne le donnez à personne. Nous ne le demandons jamais par téléphone ni par e-mail.
mail-sign-in-facts = La demande vient de :
mail-sign-in-ignore = Si ce n’était pas vous, ne faites rien : sans ce message, personne ne peut entrer.

mail-no-account-heading = Pas de compte sur { $what }
mail-no-account-intro = Quelqu’un a voulu se connecter sur { $domain } avec cette adresse, mais elle n’y a pas de compte. Vous utilisez peut-être une autre adresse. Les comptes sont ouverts par les responsables du service.
mail-no-account-facts = Ce que nous en savons :
mail-no-account-ignore = Si ce n’était pas vous, ne faites rien : il ne s’est rien passé, et nous vous le signalons au plus une fois par jour.

mail-access-reset-heading = Votre adresse est maintenant confirmée sur { $domain }
mail-access-reset-intro = Vous venez de prouver pour la première fois que cette adresse est la vôtre sur { $domain }. Elle y avait été saisie auparavant, sans preuve ; tous les anciens accès au compte ont donc été fermés : connexions sur d’autres appareils, applications et fournisseurs associés.
mail-access-reset-again = Là où c’était vous, connectez-vous simplement à nouveau.
mail-access-reset-facts = Ce que nous en savons :
mail-access-reset-ignore = Si ce n’était pas vous, quelqu’un peut lire vos e-mails : changez le mot de passe de votre messagerie, puis prévenez les responsables de ce service.

mail-provider-connected-heading = { $provider } est désormais associé à votre compte sur { $domain }
mail-provider-connected-intro = Désormais, votre compte chez { $provider } vous connecte à { $domain }. Rien d’autre n’a changé : le lien par e-mail fonctionne comme avant.
mail-provider-connected-ignore = Si ce n’était pas vous, connectez-vous tout de suite par e-mail à { $domain }, dissociez { $provider } sur la page de votre compte, retirez-y sous « Applications ayant accès » toutes celles que vous ne connaissez pas, et déconnectez-vous partout.
mail-provider-disconnected-heading = { $provider } n’est plus associé à votre compte sur { $domain }
mail-provider-disconnected-intro = { $provider } ne vous connecte plus à { $domain }, et les sessions qui en venaient sont terminées. Le lien par e-mail fonctionne comme avant.
mail-provider-disconnected-ignore = Si ce n’était pas vous, connectez-vous tout de suite par e-mail à { $domain }, retirez sous « Applications ayant accès », sur la page de votre compte, toutes celles que vous ne connaissez pas, et déconnectez-vous partout.
mail-provider-facts = Ce que nous en savons :

mail-fact = { $label } : { $value }
mail-fact-client = Application
mail-fact-device = Appareil
mail-fact-place = Près de
mail-fact-time = Heure
mail-fact-domain = Site

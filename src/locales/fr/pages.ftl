# Textes des pages. Pour remplacer un message, créez un fichier de même forme dans texts_dir/fr/.

service = Entree

## Dates
month-1 = janvier
month-2 = février
month-3 = mars
month-4 = avril
month-5 = mai
month-6 = juin
month-7 = juillet
month-8 = août
month-9 = septembre
month-10 = octobre
month-11 = novembre
month-12 = décembre
# $day, $month (un nom), $year, $time (15:04)
date-time = { $day } { $month } { $year } à { $time } UTC

## Connexion
sign-in-title = Connexion
sign-in-title-client = Connexion à { $client }
sign-in-lede = Nous vous envoyons un e-mail avec un lien et un code. Aucun mot de passe à retenir.
sign-in-email = Votre adresse e-mail
sign-in-remember = Rester connecté sur cet appareil
sign-in-submit = Recevoir l’e-mail
sign-in-or = ou
sign-in-provider = Continuer avec { $provider }
sign-in-linking = Vous venez de { $provider } en tant que { $account }. Confirmez une fois votre adresse e-mail, et { $provider } suffira désormais.
sign-in-linking-nameless = Vous venez de { $provider }. Confirmez une fois votre adresse e-mail, et { $provider } suffira désormais.
sign-in-cancel = Annuler
sign-in-cancel-client = Annuler et revenir à { $client }
sign-in-again = Cette fois, l’application vous demande de confirmer à nouveau que c’est bien vous.
sign-in-by-mail = Confirmez par e-mail que c’est bien vous. Vous arriverez sur votre compte, où vous pourrez réessayer.
sign-in-signed-in = Vous êtes connecté en tant que { $email }.
sign-in-to-account = Voir votre compte
sign-in-error-email = Cela ne ressemble pas à une adresse e-mail. Vérifiez-la ; elle devrait s’écrire comme nom@example.com.
sign-in-error-stale = Cette page est restée ouverte trop longtemps. Veuillez l’envoyer encore une fois.
sign-in-error-busy = Trop d’e-mails ont été demandés. Patientez quelques minutes, puis réessayez.

## En attente de l’e-mail
sent-title = Consultez votre messagerie
sent-lede = Nous envoyons un e-mail à { $email }. Ouvrez son lien dans ce navigateur, ou saisissez son code ici.
sent-client = Vous continuerez ensuite vers { $client }.
sent-code = Code reçu par e-mail
sent-code-hint = { $digits } chiffres ; les espaces et les tirets sont sans importance.
sent-submit = Se connecter
sent-switch = Vous êtes connecté en tant que { $current }. Si vous saisissez le code, { $current } sera déconnecté dans ce navigateur.
sent-waiting = Cette page continuera d’elle-même dès que vous aurez ouvert le lien.
sent-ended = Cette tentative de connexion est terminée.
sent-nothing = Rien reçu après deux minutes ? Regardez parmi les courriers indésirables et vérifiez l’adresse ci-dessus.
sent-resend = Envoyer un autre e-mail
sent-resend-pause =
    { $seconds ->
        [one] Possible dans { $seconds } seconde.
       *[other] Possible dans { $seconds } secondes.
    }
sent-no-resend = Aucun autre e-mail ne peut être envoyé pour cette connexion. Vous pouvez recommencer.
sent-continue = J’ai ouvert le lien
sent-restart = Utiliser une autre adresse
sent-error-code = Ce code n’est pas le bon. Saisissez le code de l’e-mail le plus récent, ou demandez-en un autre.
sent-error-tries = Trop de codes erronés. Ouvrez le lien de l’e-mail, ou recommencez.
sent-error-wait = Patientez un instant avant de demander un autre e-mail.
sent-error-stale = Cette page est restée ouverte trop longtemps. Veuillez réessayer.

## Le lien de l’e-mail
link-title = Un instant
link-lede = Vous vous connectez en tant que { $email }.
link-submit = Se connecter
link-switch-title = Se connecter avec un autre compte ?
link-switch-lede = Vous êtes connecté en tant que { $current }. Ce lien est destiné à { $email }. Si vous continuez, { $current } sera déconnecté dans ce navigateur.
link-switch-submit = Se déconnecter et continuer
link-switch-stay = Garder la connexion actuelle

## Le lien, ouvert ailleurs
elsewhere-title = Retournez là où vous avez commencé
elsewhere-lede = Ce lien ne peut pas vous connecter ici. Pour votre sécurité, il ne fonctionne que quelques minutes, et seulement dans le navigateur qui l’a demandé.
elsewhere-step-window = Retournez à la fenêtre où vous avez saisi votre adresse.
elsewhere-step-code = Saisissez-y le code du même e-mail, ou ouvrez le lien dans ce navigateur-là.
elsewhere-safe = Rien n’est perdu : ouvrir le lien ici ne l’a pas consommé.
elsewhere-flow = Saisir un code dans ce navigateur
elsewhere-no-window = Vous n’avez plus cette fenêtre ?
elsewhere-restart = Recommencer ici et recevoir un nouvel e-mail

## La suite
continue-title = Vous êtes connecté
continue-lede = Vous allez être redirigé. Si rien ne se passe, utilisez le bouton.
continue-link = Continuer
signed-in-title = Vous êtes connecté
signed-in-lede = Vous pouvez fermer cette fenêtre et continuer là où vous avez commencé.
signed-in-account = Voir votre compte
signed-out-title = Vous êtes déconnecté
signed-out-lede = Vous n’êtes plus connecté dans ce navigateur.
signed-out-again = Se reconnecter
signed-out-back = Retour

## Autoriser une application
consent-title = Autoriser { $client } ?
consent-lede = { $client } demande l’accès à votre compte { $email }. Ce n’est pas une de nos applications.
consent-lede-device = { $client } sur cet appareil souhaite continuer avec votre compte { $email }. Autorisez-le si vous venez d’y commencer quelque chose.
consent-scope-openid = Savoir que c’est vous, par un identifiant
consent-scope-profile = Voir votre nom et votre langue
consent-scope-email = Voir votre adresse e-mail
consent-scope-of-api = Utiliser « { $scope } » en votre nom
consent-scope-offline_access = Rester connectée en votre absence
consent-allow = Autoriser
consent-deny = Ne pas autoriser
form-post-title = Retour
form-post-lede = Vous retournez à l’application. Si rien ne se passe, utilisez le bouton.
form-post-submit = Continuer

## Se déconnecter à la demande d’une application
logout-title = Se déconnecter ?
logout-lede = Vous êtes connecté en tant que { $email }. Voulez-vous vous déconnecter de ce navigateur ?
logout-submit = Se déconnecter
logout-stay = Rester connecté

## Erreurs
error-next = Se connecter
error-reference = Si vous demandez de l’aide, indiquez cette référence :
error-parameter = Pour les responsables de l’application : l’erreur est dans le paramètre
error-title = Un problème est survenu
error-internal = L’erreur vient de notre côté, et elle a été consignée. Réessayez dans un instant.
error-away-title = De retour dans un instant
error-away = Une partie de ce service n’est pas joignable pour le moment. Rien n’est perdu. Réessayez dans une minute.
error-not-found-title = Il n’y a rien ici
error-not-found = Cette adresse ne mène nulle part. Peut-être a-t-elle été coupée en chemin.
error-expired-title = Cela a pris trop de temps
error-expired = Cette tentative de connexion est terminée. Veuillez recommencer ; cela prend une minute.
error-link-title = Veuillez recommencer
error-link = Cette connexion avec un fournisseur est terminée : elle a pris trop de temps, a déjà servi, ou a commencé dans un autre navigateur. Rien n’a été modifié.
error-used-title = Déjà utilisé
error-used = Chaque lien et chaque code ne sert qu’une fois. Si c’était vous, continuez dans la fenêtre où vous êtes connecté. Pour vous connecter ici, demandez un nouvel e-mail.
error-request-title = Cette demande ne peut pas aboutir
error-request = L’application vous a envoyé ici avec une demande que nous ne pouvons pas accepter. Retournez-y et réessayez.
error-cookies-title = Votre navigateur ne se souvient pas de nous
error-cookies = Nous avons besoin d’un cookie pour savoir que c’est toujours vous. Autorisez les cookies pour ce site et recommencez.
error-stale-title = Veuillez réessayer
error-stale = La page envoyée était trop ancienne, ou venait d’ailleurs. Rien n’a été modifié.
error-busy-title = Trop de tentatives
error-busy = Patientez quelques minutes, puis réessayez.

## Autres fournisseurs
upstream-leave-title = Vers { $provider }
upstream-leave-lede = Vous êtes redirigé vers { $provider }. Si rien ne se passe, utilisez le bouton.
upstream-leave-link = Continuer vers { $provider }
upstream-app-title = Vers { $client }
upstream-app-lede = { $client } souhaite vous connecter sur cet appareil. Si vous ne l’avez pas demandé à l’instant dans { $client }, fermez cette fenêtre.
upstream-app-link = Continuer vers { $client }
upstream-provider = le fournisseur
upstream-back = Retour à la connexion
upstream-back-account = Retour à votre compte
upstream-back-app = Retour à l’application
upstream-again-title = Veuillez recommencer
upstream-again = Cette connexion avec { $provider } est terminée : elle a pris trop de temps, a déjà servi, ou a commencé dans un autre navigateur. Rien n’a été modifié. Recommencez, ou connectez-vous par e-mail.
upstream-again-connecting-title = Veuillez recommencer
upstream-again-connecting = { $provider } n’a pas été associé : l’opération a pris trop de temps, a déjà servi, ou a commencé dans un autre navigateur. Rien n’a été modifié. Recommencez depuis votre compte.
upstream-method-title = Il n’y a rien à voir ici
upstream-method = Seul { $provider } renvoie à cette adresse. Commencez par la page de connexion.
upstream-denied-title = Vous n’êtes pas connecté
upstream-denied = Vous ne vous êtes pas connecté avec { $provider }. Réessayez, ou utilisez votre adresse e-mail.
upstream-denied-connecting-title = Rien n’a été associé
upstream-denied-connecting = Vous n’avez pas continué chez { $provider } : rien n’a été associé. Vous êtes connecté comme avant.
upstream-trouble-title = { $provider } a un problème
upstream-trouble = { $provider } ne peut pas vous connecter en ce moment. Réessayez, ou utilisez votre adresse e-mail.
upstream-trouble-connecting-title = { $provider } a un problème
upstream-trouble-connecting = { $provider } ne peut pas être associé en ce moment. Rien n’a changé ; réessayez plus tard.
upstream-away-title = { $provider } n’est pas joignable
upstream-away = Nous ne pouvons pas joindre { $provider } pour le moment. Réessayez dans une minute, ou connectez-vous par e-mail : cela fonctionne.
upstream-away-connecting-title = { $provider } n’est pas joignable
upstream-away-connecting = Nous ne pouvons pas joindre { $provider } pour le moment : rien n’a été associé. Vous êtes connecté comme avant. Réessayez dans une minute.
upstream-answer-title = La réponse de { $provider } n’est pas fiable
upstream-answer = Ce que { $provider } a renvoyé n’a pas passé nos contrôles : personne n’a été connecté. Réessayez ; si cela se reproduit, connectez-vous par e-mail et prévenez les responsables de ce service.
upstream-answer-connecting-title = La réponse de { $provider } n’est pas fiable
upstream-answer-connecting = Ce que { $provider } a renvoyé n’a pas passé nos contrôles : rien n’a été associé. Vous êtes connecté comme avant. Réessayez ; si cela se reproduit, prévenez les responsables de ce service.
upstream-misconfigured-title = { $provider } est mal configuré
upstream-misconfigured = La connexion avec { $provider } ne fonctionnera pas avant que les responsables de ce service ne la rétablissent ; ils ont été prévenus. Connectez-vous par e-mail.
upstream-misconfigured-connecting-title = { $provider } est mal configuré
upstream-misconfigured-connecting = { $provider } ne peut pas être associé tant que les responsables de ce service n’y ont pas remédié ; ils ont été prévenus. Vous êtes connecté comme avant.
upstream-account-title = Ce compte n’est pas admis
upstream-account = Les comptes de votre organisation chez { $provider } ne peuvent pas se connecter ici. Utilisez un autre compte, ou connectez-vous par e-mail.
upstream-account-connecting-title = Ce compte n’est pas admis
upstream-account-connecting = Les comptes de votre organisation chez { $provider } ne peuvent pas être associés ici. Vous êtes connecté comme avant. Essayez un autre compte chez { $provider }.
upstream-off-title = La connexion avec { $provider } n’est pas proposée
upstream-off = La connexion avec { $provider } n’est pas, ou plus, proposée ici. Connectez-vous par e-mail.
upstream-off-connecting-title = Associer { $provider } n’est pas possible
upstream-off-connecting = Associer { $provider } n’est pas, ou plus, possible ici. Vous êtes connecté comme avant.
upstream-closed-title = Vous ne pouvez pas vous connecter
upstream-closed = Ce compte ne peut pas se connecter ici. Si vous pensez qu’il le devrait, adressez-vous aux responsables de ce service.
upstream-newcomer-title = Vous n’avez pas encore de compte ici
upstream-newcomer = La connexion avec { $provider } a réussi, mais les inscriptions sont fermées. Si vous avez un compte sous une autre adresse, connectez-vous par e-mail avec celle-ci ; sinon, demandez une invitation aux responsables de ce service.
upstream-session-title = La connexion de ce navigateur a changé
upstream-session = Pendant que vous étiez chez { $provider }, quelqu’un s’est connecté ou déconnecté dans ce navigateur. Rien n’a été associé. Veuillez réessayer.
upstream-own-title = { $provider } est déjà associé
upstream-own = Ce compte chez { $provider } vous connecte déjà ici. Rien n’a changé.
upstream-taken-title = Ce compte est déjà associé
upstream-taken = Ce compte chez { $provider } est associé à un autre compte ici. Connectez-vous avec lui, et dissociez-le d’abord de cet autre compte.
upstream-last-title = C’est votre dernier moyen de connexion
upstream-last = { $provider } est votre seul moyen de vous connecter ici. Confirmez d’abord une adresse e-mail ou associez un autre fournisseur.
upstream-fresh-title = Confirmez à nouveau que c’est vous
upstream-fresh = Pour associer ou dissocier un fournisseur, vous devez vous être connecté par e-mail au cours des dix dernières minutes. Connectez-vous à nouveau par e-mail, puis réessayez.
upstream-fresh-next = Se connecter par e-mail

## Associer un compte chez un fournisseur
identity-title = Associer { $provider } ?
identity-lede = Vous êtes connecté en tant que { $email }. Le compte { $account } chez { $provider } doit-il désormais ouvrir ce compte ?
identity-lede-nameless = Vous êtes connecté en tant que { $email }. Votre compte chez { $provider } doit-il désormais ouvrir ce compte ?
identity-second = Un autre compte chez { $provider } est déjà associé. Celui-ci s’y ajouterait.
identity-yes = Associer { $provider }
identity-no = Pas maintenant
identity-switch-title = Se connecter avec un autre compte ?
identity-switch-lede = Vous êtes connecté en tant que { $email }. Le compte chez { $provider } appartient ici à quelqu’un d’autre. Si vous continuez, { $email } sera déconnecté dans ce navigateur.
identity-switch-yes = Se déconnecter et continuer
identity-switch-no = Rester connecté

## Compte
account-title = Votre compte
account-name = Nom
account-email = E-mail
account-roles = Rôles
account-sessions = Où vous êtes connecté
account-current = Ce navigateur
account-session-when = Dernière activité : { $seen }. Connexion : { $created }.
account-device-unknown = Appareil inconnu
account-device = { $browser } sur { $system }
account-end = Terminer
account-end-label = Terminer : { $device }
account-access = Applications ayant accès
account-sign-out = Se déconnecter
account-everywhere = Se déconnecter partout
account-everywhere-hint = Se déconnecter partout met fin à vos sessions. Les applications qui peuvent agir en votre absence gardent ce droit jusqu’à ce que vous les retiriez sous « Applications ayant accès ».
account-identities = Fournisseurs associés
account-identity-when = Associé : { $linked }. Dernière utilisation : { $used }.
account-identity-disconnect = Dissocier
account-identity-disconnect-label = Dissocier : { $provider } { $account }
account-connect = Associer { $provider }
account-connect-another = Associer un autre compte { $provider }

access-title = Applications ayant accès
access-lede = Ces applications peuvent utiliser votre compte. Retirer l’accès y met fin aussitôt, jusqu’à ce que vous vous connectiez de nouveau avec l’application.
access-none = Aucune application n’a accès à votre compte.
access-when = Depuis le { $since }. Dernière utilisation : { $used }.
access-remove = Retirer l’accès
access-remove-label = Retirer l’accès : { $client }
access-back = Retour à votre compte

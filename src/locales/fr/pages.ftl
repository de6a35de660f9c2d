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
sign-in-lede = Nous vous envoyons un lien et un code par e-mail. Aucun mot de passe n’est nécessaire.
sign-in-email = Adresse e-mail
sign-in-remember = Garder ma session ouverte sur cet appareil
sign-in-submit = Continuer par e-mail
sign-in-or = ou
sign-in-provider = Continuer avec { $provider }
sign-in-linking = Connexion à { $provider } réussie avec { $account }. Confirmez une fois votre adresse e-mail. La prochaine fois, { $provider } suffira.
sign-in-linking-nameless = Connexion à { $provider } réussie. Confirmez une fois votre adresse e-mail. La prochaine fois, { $provider } suffira.
sign-in-cancel = Annuler la connexion
sign-in-cancel-client = Revenir à { $client }
sign-in-again = Pour votre sécurité, confirmez à nouveau que c’est bien vous.
sign-in-by-mail = Confirmez par e-mail que c’est bien vous. Vous reviendrez à votre compte, où vous pourrez réessayer.
sign-in-signed-in = Vous utilisez le compte { $email }.
sign-in-to-account = Accéder à votre compte
sign-in-confirm = Envoyer un e-mail à { $email }
sign-in-other = Utiliser une autre adresse e-mail
sign-in-error-email = Saisissez une adresse e-mail valide, par exemple nom@exemple.fr.
sign-in-error-empty = Saisissez votre adresse e-mail.
sign-in-error-at = Saisissez une adresse e-mail avec un @, par exemple nom@exemple.fr.
sign-in-error-several = Saisissez une seule adresse e-mail.
sign-in-error-space = L’adresse e-mail contient une espace. Supprimez-la, puis réessayez.
sign-in-error-character = Une adresse e-mail ne peut pas contenir « { $character } » à cet endroit. Modifiez-la, puis réessayez.
sign-in-error-letter = Nous ne pouvons pas écrire à une adresse contenant « { $character } » avant le @. Saisissez une autre adresse e-mail.
sign-in-error-busy = Trop d’e-mails ont été demandés. Patientez quelques minutes, puis réessayez.

## En attente de l’e-mail
sent-title = Consultez votre messagerie
sent-lede = Nous avons envoyé un e-mail à { $email }. Ouvrez le lien dans ce navigateur, ou saisissez le code ici.
sent-client = Vous continuerez ensuite vers { $client }.
sent-code = Code de connexion
sent-code-hint = { $digits } chiffres
sent-submit = Se connecter
sent-switch = Vous utilisez le compte { $current }. La saisie de ce code fermera la session de { $current } dans ce navigateur.
sent-waiting = En attente de l’ouverture du lien dans ce navigateur…
sent-ended = Cette demande de connexion n’est plus valable.
sent-start-over = Recommencer
email-late = Notre serveur de messagerie n’accepte pas d’e-mails pour le moment. Nous continuons d’essayer : votre e-mail arrivera en retard.
email-failed = Nous n’avons pas pu envoyer l’e-mail. Vérifiez l’adresse ci-dessus, ou réessayez plus tard.
sent-nothing = Vous n’avez rien reçu ? Vérifiez vos courriers indésirables et l’adresse ci-dessus.
sent-resend = Renvoyer l’e-mail
sent-withheld-title = Aucun e-mail ne peut être envoyé pour le moment
sent-withheld = Trop d’e-mails de connexion ont été demandés pour { $email }. Pour protéger cette messagerie, nous n’en envoyons plus pour le moment.
sent-withheld-minutes =
    { $minutes ->
        [one] Vous pourrez demander un nouvel e-mail dans environ { $minutes } minute.
       *[other] Vous pourrez demander un nouvel e-mail dans environ { $minutes } minutes.
    }
sent-withheld-hours = Vous pourrez demander un nouvel e-mail dans environ { $hours } heures.
sent-withheld-ways = Un e-mail déjà reçu fonctionne encore. Vous pouvez aussi vous connecter sur un appareil où vous avez déjà utilisé cette adresse, ou avec un compte associé.
# $time est un compte à rebours : 0:30
sent-resend-pause = Nouvel envoi possible dans { $time }.
sent-no-resend = Le nombre maximal d’e-mails est atteint pour cette connexion.
sent-continue = Continuer après avoir ouvert le lien
sent-restart = Utiliser une autre adresse e-mail
sent-error-form = Saisissez les { $digits } chiffres de l’e-mail.
sent-error-code = Ce code est incorrect. Comparez-le au dernier e-mail reçu, puis réessayez.
sent-error-expired = Ce code a expiré. Saisissez celui du dernier e-mail reçu, ou renvoyez l’e-mail.
sent-error-off = Trop de codes incorrects ont été saisis pour cette adresse : les codes sont suspendus pendant une heure. Ouvrez plutôt le lien de l’e-mail.
sent-error-tries = Trop de codes incorrects : vous ne pouvez plus en saisir ici. Vous pouvez encore vous connecter :
sent-way-link = Ouvrez le lien de l’e-mail dans ce navigateur.
sent-way-resend = Renvoyez l’e-mail ci-dessous, puis ouvrez son lien.
sent-way-restart = Recommencer pour recevoir un nouveau code
sent-way-restart-providers = Recommencer pour recevoir un nouveau code, ou choisir un autre moyen de connexion
sent-tries-left =
    { $count ->
        [one] Il vous reste { $count } essai.
       *[other] Il vous reste { $count } essais.
    }
sent-lifetime =
    { $minutes ->
        [one] Le lien et le code sont valables { $minutes } minute.
       *[other] Le lien et le code sont valables { $minutes } minutes.
    }
sent-error-right-code = Ce code est le bon, mais trop de codes incorrects ont été saisis pour cette adresse. Ouvrez le lien du même e-mail, ou renvoyez l’e-mail et saisissez son nouveau code.
sent-error-tab = Une connexion a eu lieu dans un autre onglet. Vérifiez le code ici, puis sélectionnez encore une fois « Se connecter ».
sent-error-wait = Un autre e-mail ne peut pas encore être envoyé. Patientez un instant, puis réessayez.

## Le lien de l’e-mail
link-title = Confirmer la connexion
link-lede = Se connecter avec le compte { $email } ?
link-submit = Se connecter
link-switch-title = Changer de compte ?
link-switch-lede = Vous utilisez le compte { $current }, mais ce lien est destiné à { $email }. Changer de compte fermera la session de { $current } dans ce navigateur.
link-switch-submit = Changer de compte
link-switch-stay = Garder le compte { $current }

## Le lien, ouvert ailleurs
elsewhere-title = Terminez la connexion dans l’autre navigateur
elsewhere-lede = Pour votre sécurité, ce lien ne fonctionne que dans le navigateur où vous l’avez demandé. Il expire après quelques minutes.
elsewhere-step-window = Revenez à l’onglet où vous avez saisi votre adresse e-mail.
elsewhere-step-code = Saisissez-y le code de l’e-mail, ou ouvrez le lien dans ce navigateur-là.
elsewhere-safe = L’ouverture du lien ici ne l’a pas rendu inutilisable.
elsewhere-flow = Saisir un code ici
elsewhere-no-window = Vous avez fermé cet onglet ?
elsewhere-restart = Recommencer dans ce navigateur

elsewhere-old-title = Saisissez plutôt le code
elsewhere-old-lede = Votre navigateur est trop ancien pour ce lien. Le code du même e-mail fonctionne.

## Un lien qui ne fonctionne plus
dead-link-used-title = Ce lien a déjà été utilisé
dead-link-used = Un lien ne sert qu’une fois. Si vous avez déjà ouvert une session, revenez à cet onglet. Sinon, recommencez pour recevoir un nouvel e-mail.
dead-link-expired-title = Ce lien a expiré
dead-link-expired =
    { $minutes ->
        [one] Un lien est valable { $minutes } minute. Demandez un nouvel e-mail.
       *[other] Un lien est valable { $minutes } minutes. Demandez un nouvel e-mail.
    }
dead-link-unknown-title = Ce lien ne fonctionne pas
dead-link-unknown = Le lien est peut-être incomplet ou trop ancien. Copiez le lien entier du dernier e-mail, ou recommencez pour en recevoir un nouveau.
dead-link-resend = Recevoir un nouvel e-mail

## La suite
continue-title = Redirection…
continue-lede = Si rien ne se passe, sélectionnez « Continuer ».
continue-link = Continuer
signed-in-title = Connexion réussie
signed-in-lede = Ouvrez { $client } pour continuer.
signed-in-lede-account = Vous pouvez gérer votre compte ici.
signed-in-open = Ouvrir { $client }
signed-in-account = Accéder à votre compte
signed-out-title = Déconnexion réussie
signed-out-lede = Votre session est fermée dans ce navigateur. Vous pouvez fermer cette page.
signed-out-again = Se reconnecter
signed-out-back = Revenir à l’application

## Autoriser une application
consent-title = Autoriser { $client } à accéder à votre compte ?
consent-lede = Vous utilisez le compte { $email }. { $client } n’est pas une de nos applications. Si vous autorisez l’accès, elle pourra :
consent-lede-device = Vous utilisez le compte { $email }. N’autorisez l’accès que si vous venez de commencer à vous connecter à { $client } sur cet appareil. L’application pourra alors :
consent-scope-openid = Vous identifier
consent-scope-profile = Voir votre nom et votre langue
consent-scope-email = Voir votre adresse e-mail
consent-scope-of-api = Utiliser « { $scope } » en votre nom
consent-scope-offline_access = Conserver l’accès en votre absence
consent-allow = Autoriser l’accès
consent-deny = Ne pas autoriser
form-post-title = Retour à l’application…
form-post-lede = Si rien ne se passe, sélectionnez « Continuer ».
form-post-submit = Continuer

## Un nom dont l’application a besoin
name-title = Quel est votre nom ?
name-lede = { $client } a besoin de votre nom. Nous l’enregistrerons dans votre compte.
name-label = Nom
name-submit = Continuer
name-error-empty = Saisissez votre nom.
name-error-character = Saisissez votre nom sur une seule ligne, sans caractères de contrôle.
name-error-invisible = Saisissez un nom visible. Celui-ci ne contient que des caractères invisibles.
name-error-long = Saisissez un nom de { $most } caractères au plus.

## Connecter un appareil
device-title = Connecter un appareil
device-lede = Saisissez le code affiché par votre appareil.
device-code = Code de l’appareil
device-code-hint = 8 lettres
device-submit = Continuer
device-warning = Ne continuez que si vous avez commencé vous-même, sur un appareil devant vous. Ne saisissez jamais un code que l’on vous a envoyé.
device-error-code = Ce code est incorrect ou a expiré. Vérifiez le code sur votre appareil, ou recommencez sur celui-ci.
device-error-over = Cette demande est terminée. Recommencez sur votre appareil.
device-question-title = Autoriser { $client }, sur un appareil, à utiliser votre compte ?
device-question-lede = Vous utilisez le compte { $email }. Si vous autorisez l’accès, { $client } sur l’appareil pourra :
device-question-none = Vous utilisez le compte { $email }. Si vous autorisez l’accès, { $client } sur l’appareil aura accès à votre compte.
device-shown = L’appareil doit afficher le code { $code }.
device-from = Demande du { $time }, depuis le réseau { $network }.
device-elsewhere = L’appareil n’est pas sur le réseau que vous utilisez. Si vous ne savez pas pourquoi, n’autorisez pas l’accès.
device-deny = Ne pas autoriser
device-allow = Autoriser l’accès
device-allowed-title = Votre appareil a accès à votre compte
device-allowed-lede = Revenez à votre appareil. Vous pouvez fermer cette page.
device-denied-title = Accès non autorisé
device-denied-lede = L’appareil ne peut pas utiliser votre compte. Vous pouvez fermer cette page.
device-access = Gérer les applications ayant accès

## Se déconnecter à la demande d’une application
logout-title = Se déconnecter ?
logout-lede = Vous utilisez le compte { $email } dans ce navigateur.
logout-submit = Se déconnecter
logout-stay = Garder la session ouverte
logout-none-title = Aucune session n’est ouverte
logout-fault = La demande de déconnexion de l’application contient une erreur. Nous ne pouvons donc pas vous renvoyer vers l’application.
logout-fault-missing = Pour l’équipe de développement de l’application : paramètre manquant

## Erreurs
# Le titre de la fenêtre quand un formulaire contient une erreur
error-window-title = Erreur : { $title }
error-next = Se connecter
error-again = Réessayer
error-start-over = Recommencer
error-to-client = Revenir à { $client }
error-reference = Référence pour l’assistance :
error-parameter = Pour l’équipe de développement de l’application : paramètre non valide
error-title = Un problème est survenu
error-internal = L’erreur vient de notre côté et a été enregistrée. Veuillez réessayer dans un instant.
error-away-title = Service momentanément indisponible
error-away = Une partie de ce service est indisponible pour le moment. Rien n’est perdu. Veuillez réessayer dans quelques secondes.
error-not-found-title = Page introuvable
error-not-found = L’adresse est peut-être incomplète ou incorrecte. Vérifiez-la, puis réessayez.
error-method-title = Cette page ne s’ouvre pas directement
error-method = Elle appartient à un formulaire déjà envoyé. Rien n’a été modifié. Recommencez pour continuer.
error-expired-title = Cette connexion a expiré
error-expired = Pour votre sécurité, une demande de connexion n’est valable que peu de temps. Recommencez pour vous connecter.
error-link-title = Cette connexion n’est plus valable
error-link = Votre connexion avec un fournisseur a pris trop de temps, a déjà servi, ou a commencé dans un autre navigateur. Rien n’a été modifié. Recommencez pour vous connecter.
error-used-title = Ce lien ou ce code a déjà été utilisé
error-used = Un lien ou un code ne sert qu’une fois. Si la connexion a déjà réussi, revenez à l’onglet correspondant. Pour vous connecter ici, demandez un nouvel e-mail.
error-request-title = Cette demande ne peut pas aboutir
error-request = L’application a envoyé une demande non valide. Revenez à l’application, puis réessayez.
error-cookies-title = Autorisez les cookies pour continuer
error-cookies = Nous avons besoin d’un cookie pour reconnaître votre navigateur, et il ne l’a pas envoyé. Autorisez les cookies pour ce site, puis réessayez.
error-cookies-two-title = Supprimez les cookies pour continuer
error-cookies-two = Votre navigateur a envoyé deux cookies différents du même nom pour ce site. Supprimez les cookies de ce site, puis recommencez.
error-deployment-title = Ce service n’est pas disponible à cette adresse
error-deployment = Le service a été configuré pour une autre adresse. Votre saisie est correcte. Contactez l’équipe d’administration, qui trouvera la cause dans le journal.
error-stale-title = Cette page a expiré
error-stale = Votre session a changé depuis l’ouverture de cette page, ou la demande venait d’ailleurs. Rien n’a été modifié. Réessayez.
error-busy-title = Trop de tentatives
error-busy = Patientez quelques minutes, puis réessayez.

## Autres fournisseurs
upstream-leave-title = Redirection vers { $provider }…
upstream-leave-lede = Si rien ne se passe, sélectionnez « Continuer vers { $provider } ».
upstream-leave-link = Continuer vers { $provider }
upstream-app-title = Continuer vers { $client }
upstream-app-lede = { $client } souhaite vous connecter sur cet appareil. Si vous ne l’avez pas demandé à l’instant dans { $client }, fermez cette page.
upstream-app-link = Continuer vers { $client }
upstream-provider = le fournisseur
upstream-back = Revenir à la connexion
upstream-back-account = Revenir à votre compte
upstream-back-app = Revenir à l’application
upstream-again-title = Cette connexion n’est plus valable
upstream-again = Votre connexion avec { $provider } a pris trop de temps, a déjà servi, ou a commencé dans un autre navigateur. Rien n’a été modifié. Recommencez, ou connectez-vous par e-mail.
upstream-again-connecting-title = Impossible d’associer { $provider }
upstream-again-connecting = L’opération a pris trop de temps, a déjà servi, ou a commencé dans un autre navigateur. Rien n’a été modifié. Réessayez depuis votre compte.
upstream-method-title = Cette page ne s’ouvre pas directement
upstream-method = Seul { $provider } renvoie à cette adresse. Commencez par la page de connexion.
upstream-denied-title = Connexion annulée
upstream-denied = La connexion avec { $provider } a été annulée. Réessayez, ou connectez-vous par e-mail.
upstream-denied-connecting-title = Rien n’a été associé
upstream-denied-connecting = Vous avez annulé chez { $provider } : rien n’a été associé. Votre session reste ouverte.
upstream-trouble-title = La connexion avec { $provider } est indisponible
upstream-trouble = Un problème est survenu chez { $provider }. Réessayez, ou connectez-vous par e-mail.
upstream-trouble-connecting-title = Impossible d’associer { $provider }
upstream-trouble-connecting = Un problème est survenu chez { $provider } : rien n’a été associé. Votre session reste ouverte. Réessayez plus tard.
upstream-busy-title = { $provider } est surchargé pour le moment
upstream-busy = { $provider } ne peut connecter personne pour le moment. Réessayez dans quelques minutes, ou connectez-vous par e-mail.
upstream-busy-connecting-title = { $provider } est surchargé pour le moment
upstream-busy-connecting = Nous n’avons pas pu associer { $provider }. Votre session reste ouverte. Réessayez dans quelques minutes.
upstream-login-title = Aucune session n’est ouverte chez { $provider }
upstream-login = Ouvrez { $provider } et connectez-vous-y, puis réessayez. Vous pouvez aussi vous connecter par e-mail.
upstream-login-connecting-title = Aucune session n’est ouverte chez { $provider }
upstream-login-connecting = Rien n’a été associé, et votre session reste ouverte ici. Ouvrez { $provider } et connectez-vous-y, puis réessayez.
upstream-interaction-title = { $provider } attend d’abord une action de votre part
upstream-interaction = Ouvrez { $provider } et faites ce qui est demandé, par exemple accepter ses conditions, puis réessayez. Vous pouvez aussi vous connecter par e-mail.
upstream-interaction-connecting-title = { $provider } attend d’abord une action de votre part
upstream-interaction-connecting = Rien n’a été associé, et votre session reste ouverte ici. Ouvrez { $provider } et faites ce qui est demandé, puis réessayez.
upstream-away-title = Impossible de joindre { $provider }
upstream-away = La connexion avec { $provider } est indisponible pour le moment. Réessayez dans une minute, ou connectez-vous par e-mail.
upstream-away-connecting-title = Impossible de joindre { $provider }
upstream-away-connecting = Nous n’avons pas pu associer { $provider }. Votre session reste ouverte. Réessayez dans une minute.
upstream-answer-title = Impossible de vérifier la réponse de { $provider }
upstream-answer = Pour votre sécurité, la connexion n’a pas eu lieu. Réessayez. Si cela se reproduit, connectez-vous par e-mail et prévenez l’équipe d’administration.
upstream-answer-connecting-title = Impossible de vérifier la réponse de { $provider }
upstream-answer-connecting = Pour votre sécurité, rien n’a été associé. Votre session reste ouverte. Réessayez. Si cela se reproduit, prévenez l’équipe d’administration.
upstream-misconfigured-title = La connexion avec { $provider } ne fonctionne pas
upstream-misconfigured = Cette connexion est mal configurée, et l’équipe d’administration en a été avertie. Veuillez vous connecter par e-mail.
upstream-misconfigured-connecting-title = Impossible d’associer { $provider }
upstream-misconfigured-connecting = Cette connexion est mal configurée, et l’équipe d’administration en a été avertie. Votre session reste ouverte.
upstream-account-title = Ce compte ne peut pas être utilisé ici
upstream-account = Les comptes de votre organisation chez { $provider } ne permettent pas de se connecter ici. Utilisez un autre compte, ou connectez-vous par e-mail.
upstream-account-connecting-title = Ce compte ne peut pas être associé
upstream-account-connecting = Les comptes de votre organisation chez { $provider } ne peuvent pas être associés ici. Votre session reste ouverte. Essayez un autre compte.
upstream-off-title = La connexion avec { $provider } n’est pas proposée
upstream-off = Ce service ne propose pas la connexion avec { $provider }. Connectez-vous plutôt par e-mail.
upstream-off-connecting-title = Impossible d’associer { $provider }
upstream-off-connecting = Ce service ne propose pas la connexion avec { $provider }. Votre session reste ouverte.
upstream-closed-title = Connexion impossible
upstream-closed = Ce compte n’est pas autorisé à se connecter ici. Si c’est une erreur, contactez l’équipe d’administration.
upstream-newcomer-title = Vous n’avez pas encore de compte ici
upstream-newcomer = La connexion avec { $provider } a réussi, mais les nouveaux comptes se créent uniquement sur invitation. Si vous avez un compte avec une autre adresse e-mail, connectez-vous avec celle-ci. Sinon, demandez une invitation à l’équipe d’administration.
upstream-session-title = Votre session a changé
upstream-session = Pendant que vous étiez chez { $provider }, une session a été ouverte ou fermée dans ce navigateur. Rien n’a été associé. Réessayez.
upstream-own-title = Vous avez déjà associé { $provider }
upstream-own = Ce compte chez { $provider } vous permet déjà de vous connecter ici. Rien n’a été modifié.
upstream-taken-title = Ce compte est déjà associé
upstream-taken = Ce compte chez { $provider } est associé à un autre compte ici. Connectez-vous d’abord avec lui pour le dissocier.
upstream-last-title = Ajoutez d’abord un autre moyen de connexion
upstream-last = { $provider } est votre seul moyen de connexion ici. Confirmez d’abord une adresse e-mail ou associez un autre fournisseur.
upstream-fresh-title = Confirmez que c’est bien vous
upstream-fresh = Pour associer ou dissocier un fournisseur, votre connexion par e-mail doit dater de moins de 10 minutes. Connectez-vous par e-mail, puis réessayez.
upstream-fresh-next = Se connecter par e-mail

## Associer un compte chez un fournisseur
identity-title = Associer { $provider } ?
identity-lede = Vous utilisez le compte { $email }. Voulez-vous aussi vous y connecter avec { $account } chez { $provider } ?
identity-lede-nameless = Vous utilisez le compte { $email }. Voulez-vous aussi vous y connecter avec { $provider } ?
identity-second = Un autre compte chez { $provider } est déjà associé. Celui-ci s’y ajoutera.
identity-yes = Associer { $provider }
identity-no = Ne pas associer
identity-switch-title = Changer de compte ?
identity-switch-lede = Vous utilisez le compte { $email }, mais ce compte chez { $provider } appartient à une autre personne. Changer de compte fermera la session de { $email } dans ce navigateur.
identity-switch-yes = Changer de compte
identity-switch-no = Garder le compte { $email }

## Compte
account-title = Votre compte
account-name = Nom
account-email = E-mail
account-roles = Rôles
account-sessions = Vos sessions ouvertes
account-current = Ce navigateur
account-session-when = Dernière activité : { $seen } · Connexion : { $created }
account-device-unknown = Appareil inconnu
account-device = { $browser } sur { $system }
account-end = Déconnecter
account-end-label = Déconnecter : { $device }
account-access = Gérer les applications ayant accès
account-sign-out = Se déconnecter de ce navigateur
account-everywhere = Se déconnecter partout
account-everywhere-hint = Se déconnecter partout met fin à vos sessions sur tous les appareils. Les applications ayant accès en votre absence le gardent. Retirez-le sous « Gérer les applications ayant accès ».
account-identities = Fournisseurs associés
account-identity-when = Association : { $linked } · Dernière utilisation : { $used }
account-identity-disconnect = Dissocier
account-identity-disconnect-label = Dissocier : { $provider } { $account }
account-connect = Associer { $provider }
account-connect-another = Associer un autre compte chez { $provider }

done-session-ended = La session est fermée sur cet appareil.
done-everywhere = Vos sessions sont fermées sur tous vos appareils.
done-disconnected = Ce compte n’est plus associé : il ne permet plus de se connecter ici.
done-access-removed = Cette application n’a plus accès à votre compte.

access-title = Applications ayant accès
access-lede = Ces applications peuvent accéder à votre compte. Une application dont vous retirez l’accès le perd jusqu’à votre prochaine connexion avec elle.
access-none = Aucune application n’a accès à votre compte.
access-resource = { $resource } : { $scopes }
access-when = Depuis le { $since } · Dernière utilisation : { $used }
access-remove = Retirer l’accès
access-remove-label = Retirer l’accès : { $client }
access-back = Revenir à votre compte

Feature: Sign in with an account elsewhere
  Dancers have accounts at the ballet school and at the club. The school runs its own mailboxes, so its word about an
  address is enough. The club's word is not: who comes from there proves the address once, by email.

  @UP-05 @LK-02
  Scenario: With the school's account a new dancer is in with one click
    When the person comes with the school on the laptop
    Then the laptop is signed in as the person
    And just 0 emails arrive

  @LK-01
  Scenario: The next visit is the same account
    Given the person came with the school on the laptop
    When the person comes with the school on the phone
    Then the phone is signed in as the person
    And the account shows 2 sessions

  @LK-02 @LK-04
  Scenario: With the club's account a new dancer proves the address by one email
    When the person comes with the club on the laptop
    Then the laptop is not signed in
    And the laptop is asked for an address, with the person's in it
    When the address is sent from there on the laptop
    And the link is used on the laptop
    Then the laptop is signed in as the person
    And just 2 emails arrive
    And an email says that an account elsewhere is now connected

  @LK-01
  Scenario: After that the club alone will do
    Given the person came with the club on the laptop and proved the address
    When the person comes with the club on the phone
    Then the phone is signed in as the person
    And just 2 emails arrive

  @LK-04
  Scenario: The email was opened on the phone, and its code is typed where the dancer came from
    When the person comes with the club on the laptop
    And the address is sent from there on the laptop
    And the link is opened on the phone
    Then the phone shows no form that signs in
    When the code is typed on the laptop
    Then the laptop is signed in as the person
    And the phone is not signed in

  @LK-04
  Scenario Outline: An account that exists is asked before another sign-in method is added
    Given the person signed in on the phone
    When the person comes with the club on the laptop
    And the address is sent from there on the laptop
    And the link of email 2 is used on the laptop
    Then the laptop is asked whether to connect the club
    When the laptop answers <answer>
    Then the laptop is signed in as the person
    When the person comes with the club on the tablet
    Then the tablet <after>

    Examples:
      | answer | after                       |
      | yes    | is signed in as the person  |
      | no     | is not signed in            |

  @LK-04
  Scenario: A thief who claims the dancer's address at the club gets nowhere
    Given the person signed in on the phone
    When a thief comes with the club and the person's address on the desktop
    Then the desktop is not signed in
    When the address is sent from there on the desktop
    Then the desktop is not signed in

  Scenario: From the application through the school to verified tokens
    When the application sends the laptop to sign in
    And the person goes on with the school there
    Then the laptop is back at the application with a code
    And the application gets an ID token and an access token that verify

  @UP-02
  Scenario: An app with a form of its own sends the dancer to the school
    When the app begins a sign-in with the school
    And the person signs in at the school in the laptop's browser for it
    Then the laptop leads on to the app by a press
    And the laptop is not signed in
    And the app redeems its code at the school for tokens that verify
    And the app's code is worth nothing a second time

  @UE-01 @UE-02
  Scenario: Who changes their mind at the school can use the email
    When the application sends the laptop to sign in
    And the person declines at the school there
    Then the laptop is back at the sign-in page with a word about it
    When the person asks for an email there and uses its link
    Then the laptop is back at the application with a code

  @CB-04
  Scenario: An answer of the school is good once
    Given the person came with the school on the laptop
    When the laptop forgets its sign-in
    And the school's answer is brought again on the laptop
    Then the laptop is asked to start again
    And the laptop is not signed in

  @CB-05
  Scenario: An answer of the school is worth nothing in another browser
    When the person sets out for the school on the laptop
    And the school's answer to the laptop is brought on the phone
    Then the phone is asked to start again
    And the phone is not signed in
    When the school's answer is brought again on the laptop
    Then the laptop is not signed in

  @CB-01
  Scenario: A preview of the answer spends nothing
    When the person sets out for the school on the laptop
    And a scanner asks for the school's answer by HEAD
    And the school's answer is brought again on the laptop
    Then the laptop is signed in as the person

  @clock @UP-03
  Scenario: Who takes too long at the school starts again
    Given a service whose clock can be moved
    When the person sets out for the school on the laptop
    And 11 minutes pass
    And the school's answer is brought again on the laptop
    Then the laptop is asked to start again
    And the laptop is not signed in

  @IT-03
  Scenario Outline: A token that the school signs for another client or person is not accepted
    Given a service with a school of its own
    And the school's tokens say <what>
    When the person comes with the school on the laptop
    Then the laptop sees that the school's answer cannot be trusted
    And the laptop is not signed in

    Examples:
      | what                  |
      | another application   |
      | another issuer        |
      | that they have ended  |
      | another attempt       |
      | an unknown key        |

  @DJ-10
  Scenario: The school changes its keys while a dancer is on the way
    Given a service with a school of its own
    And another person came with the school before
    When the person sets out for the school on the laptop
    And the school changes its keys
    And the school's answer is brought again on the laptop
    Then the laptop is signed in as the person

  @UE-05
  Scenario: The school is away, and the email works
    Given a service whose school is away
    When the person tries to set out for the school on the laptop
    Then the laptop sees that the school cannot be reached
    When an email is asked for on the laptop
    And the link is used on the laptop
    Then the laptop is signed in as the person

  @servers @UP-03
  Scenario: The ticket store is emptied while a dancer is at the school
    Given a service with a ticket store of its own
    When the person sets out for the school on the laptop
    And the ticket store is killed
    And the ticket store is back
    And the school's answer is brought again on the laptop
    Then the laptop is asked to start again
    And the laptop is not signed in
    When the person comes with the school on the laptop
    Then the laptop is signed in as the person

Feature: Sign in by email
  One email carries a link for the browser that asked and a code for every other device.

  @mail @C3 @E1
  Scenario: A new person signs in with one click in the browser that asked
    When an email is asked for on the laptop
    Then an email arrives
    When the link is opened on the laptop
    Then the laptop is not signed in
    When the button of the link page is pressed on the laptop
    Then the laptop is signed in

  @mail @C4 @C2 @SE-5
  Scenario: A link opened on another device does nothing and says where to type the code
    Given an email was asked for on the laptop
    When the link is opened on the phone
    Then the phone shows no form that signs in
    And the phone is not signed in
    When the link is used on the laptop
    Then the laptop is signed in

  @mail @D1 @SE-5
  Scenario: The code from the phone is typed in the window that asked
    Given an email was asked for on the laptop
    When the link is opened on the phone
    And the code is typed on the laptop
    Then the laptop is signed in
    And the phone is not signed in

  @D1
  Scenario: The code is worth nothing in another browser
    Given an email was asked for on the laptop
    And an email to a stranger was asked for on the phone
    When the code of the laptop's email is typed on the phone
    Then the phone is refused because the code is wrong
    And the phone is not signed in

  @D5
  Scenario Outline: The code may be typed as people type
    Given an email was asked for on the laptop
    When the code is typed as "<how>" on the laptop
    Then the laptop is signed in

    Examples:
      | how          |
      | spaced       |
      | dashed       |
      | full-width   |
      | arabic-indic |

  @B5
  Scenario: Asking again keeps the email under way usable
    Given an email was asked for on the laptop
    When another email is asked for from the waiting page, as soon as that is allowed
    Then 2 emails arrive
    When the link of email 1 is used on the laptop
    Then the laptop is signed in

  @B5
  Scenario: Using one email ends the others
    Given an email was asked for on the laptop
    And another email is asked for from the waiting page, as soon as that is allowed
    When the link of email 2 is used on the laptop
    Then the laptop is signed in
    When the laptop forgets its sign-in
    And the link of email 1 is used on the laptop if it can be
    Then the laptop is not signed in

  @A9 @A5
  Scenario: Asking again at once is answered with a wait
    Given a service where a second email has to wait for ten minutes
    And an email was asked for on the laptop
    When another email is asked for from the waiting page
    Then the laptop is asked to wait
    And just 1 email arrives

  @B7
  Scenario: A double click is harmless
    Given an email was asked for on the laptop
    When the link is opened on the laptop
    And the button of the link page is pressed twice on the laptop
    Then both presses lead to the same place
    And the laptop is signed in
    And the account shows 1 session

  @B6 @C8
  Scenario: A used link is worth nothing to a thief of the email
    Given the person signed in on the laptop
    When the link is opened on the phone
    Then the phone shows no form that signs in
    And the phone is not signed in

  @C7
  Scenario: Signed in as someone else, the page asks first
    Given a neighbour signed in on the laptop
    And an email was asked for on the laptop
    When the link is opened on the laptop
    Then the laptop is asked whether to switch
    And the laptop is signed in as the neighbour
    When the button of the link page is pressed on the laptop
    Then the laptop is signed in as the person

  @C8 @BS-04
  Scenario: What the browser held before the sign-in is dead after it
    Given an email was asked for on the laptop
    And a thief copies the cookies of the laptop
    When the link is used on the laptop
    Then the laptop is signed in
    And the thief is not signed in

  @C1
  Scenario: Looking at a link changes nothing
    Given an email was asked for on the laptop
    When a scanner fetches every link of the email 20 times by GET, HEAD and OPTIONS
    And the link is used on the laptop
    Then the laptop is signed in

  @C2
  Scenario: The link's form works only from the page that was shown
    Given an email was asked for on the laptop
    When the link's form is sent from a page of another site on the laptop
    Then the laptop is refused
    When the link's form is sent without its token on the laptop
    Then the laptop is refused
    And the laptop is not signed in
    When the link is used on the laptop
    Then the laptop is signed in

  @F2
  Scenario: The link page sends its address to no other site
    Given an email was asked for on the laptop
    When the link is opened on the laptop
    Then the page on the laptop forbids referrers, storing, framing and indexing

  @clock @B4 @D4 @X8
  Scenario: An expired email is refused with one text
    Given a service whose clock can be moved
    And an email was asked for on the laptop
    When 11 minutes pass
    And the code is typed on the laptop
    Then the laptop is refused because the code is wrong
    When the link is used on the laptop if it can be
    Then the laptop is not signed in

  @clock @B4 @X8
  Scenario: An email is good until its last minute
    Given a service whose clock can be moved
    And an email was asked for on the laptop
    When 9 minutes pass
    And the link is used on the laptop
    Then the laptop is signed in

  @B6 @serial
  Scenario: One link pressed 64 times at once gives one session
    Then in 3 rounds of 64 presses of one link at once, each round gives one session

  @B6 @serial
  Scenario: One code typed 64 times at once gives one session
    Then in 3 rounds of 64 entries of one code at once, each round gives one session

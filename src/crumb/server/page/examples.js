// What the page opens with: short enough to check by reading, with a case where a small model is wrong.

export const TEXTS = `How do I reset my password?
I can no longer log in to my account.
The bank raised its interest rates.
Borrowing money has become more expensive.
We had a picnic on the bank of the river.
The new drug works.
The new drug does not work.`;

export const TEXTS_NOTE =
  "1 and 2 say almost the same in other words, and so do 3 and 4. 3 and 5 share a word, not a meaning. " +
  "6 and 7 are opposites: to embeddings they look alike, because they are about the same thing.";

export const QUERIES = `somebody stole my work computer
how do I get back a document that I erased?
when is the taxi paid back?
where can I leave my bike?`;

export const PASSAGES = `Backups run every night at two and are kept for thirty days.
A deleted file can be restored from last night's backup.
Drafts are saved while you type; older versions are under History.
Passwords expire after a year; a reminder comes two weeks before.
Signing keys are rotated on the first Monday of every month.
Laptops are encrypted. Report a lost one to security within the hour.
Broken screens are repaired on the second floor, usually the same day.
Two monitors and a keyboard can be ordered for working at home.
Lost your badge? Reception prints a new one while you wait.
Visitors sign in at reception and wear a yellow badge.
The third floor has the good espresso machine.
Tea and fruit are free; lunch is served from noon to two.
Trains are booked through the office; first class needs approval.
Expenses come with the salary of the following month.
Salaries are paid on the twenty-fifth.
Invoices without an order number are sent back.
Holidays are requested in the calendar, a week ahead at least.
Parents share up to sixteen months of paid leave.
The office is closed between Christmas and New Year.
When the fire alarm sounds, take the stairs and meet at the car park.
Bicycles belong in the basement, where they are watched by a camera.
Cars are parked behind the house; the gate opens with your badge.
The gym in the basement is open from six.
Printers want your badge and forget a job after a day.`;

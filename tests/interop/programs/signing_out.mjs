// Signing out of a program, and what must follow.
import assert from 'node:assert/strict';

// By an address of the program, or what a person does there. Gives the page at which it ends. After it, the program
// asks for a sign-in again, and so does Entree.
export async function signOut(world, person, way, inside) {
  const end = typeof way === 'string' ? await person.open(world.app + way) : await way();
  const again = await person.open(world.app + inside).then(() => person.signedIn);
  assert.equal(again, 2, `signed out, and yet signed in at the next visit without a code; signing out ended at ${end.url}`);
  return end;
}

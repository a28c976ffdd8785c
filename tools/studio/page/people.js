// Who chooses.

function choosePerson() {
  const { people } = studio.about;
  const input = el("input", { id: "name", name: "name", autocomplete: "off", maxlength: 60, placeholder: "Name", "aria-label": "Name", required: true });
  const form = el("form", {}, input, el("button", { class: "field-button strong" }, "Start"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { person, people: all } = await ask("person", { name: input.value });
      studio.about.people = all;
      becomePerson(person);
    } catch (error) { alarm(error.message); input.focus(); }
  });
  $("view-people").replaceChildren(...[
    el("h1", { id: "people-title" }, "Who is choosing?"),
    el("p", {}, people.length ? "Answers belong to a person. Choose your name, or add one." : "You will see two pictures at a time and say which one you like more. Forty answers take about three minutes."),
    people.length ? el("ul", { class: "known" }, ...people.map((one) => el("li", {}, el("button", { onclick: () => becomePerson(one.id) }, one.name)))) : null,
    form].filter(Boolean));
  showView("people");
  (people.length ? $("view-people").querySelector(".known button") : input).focus();
}

async function becomePerson(person) {
  studio.person = person;
  setting.set("person", person);
  $("person-name").textContent = studio.about.people.find((one) => one.id === person).name;
  $("person").setAttribute("aria-label", "Choosing: " + $("person-name").textContent + ". Change");
  alarm("");
  await startVoting();
}

// Sends the chosen file to the REST API as it is, and goes to its page; what stands in the way is told beside it.
"use strict";
document.addEventListener("change", (event) => {
  const form = event.target.closest("form.upload");
  if (!form) return;
  const file = form.querySelector("input").files[0];
  const large = file && file.size > Number(form.dataset.limit);
  tell(form, large ? `${file.name} is larger than ${form.dataset.limitSaid}.` : "");
  form.querySelector("[type=submit]").disabled = !file || large;
});
document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.upload")) return;
  event.preventDefault();
  send(event.target, false);
});
document.addEventListener("click", (event) => {
  if (event.target.matches("form.upload .replace")) send(event.target.closest("form"), true);
});
document.addEventListener("dragover", (event) => {
  if (event.target.closest("form.upload")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const form = event.target.closest("form.upload");
  if (!form || !event.dataTransfer.files.length) return;
  event.preventDefault();
  form.querySelector("input").files = event.dataTransfer.files;
  form.querySelector("input").dispatchEvent(new Event("change", { bubbles: true }));
});

function send(form, replace) {
  const file = form.querySelector("input").files[0];
  const bar = form.querySelector("progress"), said = form.querySelector(".said");
  const submit = form.querySelector("[type=submit]");
  if (!file || submit.disabled && !replace) return;
  tell(form, "");
  submit.disabled = true;
  bar.hidden = false;
  const request = new XMLHttpRequest();
  request.open("PUT", `/api/v1/tables/${encodeURIComponent(file.name)}${replace ? "?replace=true" : ""}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.upload.onprogress = (event) => {
    bar.value = event.loaded / event.total;
    said.textContent = event.loaded < event.total
      ? `${Math.floor((100 * event.loaded) / event.total)} % of ${file.name}` : `Reading ${file.name} …`;
  };
  request.onload = () => {
    const answer = parsed(request.responseText);
    if (request.status === 201) {
      location.href = `/data/table/${encodeURIComponent(answer.name)}`;
      return;
    }
    finish(answer.error ? answer.error.message : `The studio answered ${request.status}.`);
    form.querySelector(".replace").hidden = request.status !== 409;
  };
  request.onerror = () => finish("The studio does not answer. Is it still running?");
  const finish = (problem) => {
    bar.hidden = true;
    said.textContent = "";
    submit.disabled = false;
    tell(form, problem);
  };
  request.send(file);
}

function tell(form, problem) {
  const place = form.querySelector(".problem");
  place.textContent = problem;
  place.hidden = !problem;
  form.querySelector(".replace").hidden = true;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/* Answers that are given without waiting: proxy/journal.py, compiled.
 *
 * What it is all for is there; that module works without this one, and the same tests hold both to
 * the same.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <structmember.h>
#include <time.h>

#define MOST 256   /* answers that wait to be told */
#define MOST_FIGURES 3
#define LONGEST 128 /* bytes of a name */

static const char before_name[] = "Warmfront-Request-Id: ";
static const char after_name[] = "\r\n\r\n";

enum { BEFORE = sizeof before_name - 1, AFTER = sizeof after_name - 1 };

static unsigned char sane[256];

static void
fill_table(void)
{
    static const char others[] = "._:=/+@-";
    for (int c = 1; c < 256; c++)
        sane[c] = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
                  || strchr(others, c) != NULL;
}

/* The end of a head that tells this name; NULL with an exception set where memory is short. */
static PyObject *
ending_of(const char *name, Py_ssize_t length)
{
    PyObject *ending = PyBytes_FromStringAndSize(NULL, BEFORE + length + AFTER);
    if (ending == NULL)
        return NULL;
    char *at = PyBytes_AS_STRING(ending);
    memcpy(at, before_name, BEFORE);
    memcpy(at + BEFORE, name, (size_t)length);
    memcpy(at + BEFORE + length, after_name, AFTER);
    return ending;
}

typedef struct {
    PyObject_HEAD
    PyObject *begun, *full, *make, *unnamed;
    int count, width; /* figures of each */
    Py_ssize_t size;  /* of the names */
    PyObject *answers[MOST];
    double figures[MOST * MOST_FIGURES];
    char names[MOST * (LONGEST + 1)]; /* each with a newline behind it */
} Journal;

/* A new reference to what names a request whose client gives it this name, if any. */
static PyObject *
ending_for(Journal *self, PyObject *given)
{
    if (self->make == Py_None)
        return Py_NewRef(self->unnamed);
    if (PyBytes_Check(given)) {
        const char *at = PyBytes_AS_STRING(given), *end = at + PyBytes_GET_SIZE(given);
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        while (at < end && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        const char *last = at;
        while (last < end && sane[(unsigned char)*last])
            last++;
        if (last == end && end != at && end - at <= LONGEST)
            return ending_of(at, end - at);
    }
    PyObject *made = PyObject_CallNoArgs(self->make);
    if (made == NULL)
        return NULL;
    PyObject *ending = NULL;
    if (PyBytes_Check(made) && PyBytes_GET_SIZE(made) <= LONGEST)
        ending = ending_of(PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made));
    else
        PyErr_SetString(PyExc_TypeError, "names are bytes, and not too many");
    Py_DECREF(made);
    return ending;
}

static int
called(PyObject *callback)
{
    PyObject *result = PyObject_CallNoArgs(callback);
    Py_XDECREF(result);
    return result != NULL;
}

static PyObject *
note(PyObject *object, PyObject *const *arguments, Py_ssize_t number)
{
    Journal *self = (Journal *)object;
    double figures[MOST_FIGURES];
    if (number != 2 + self->width) {
        PyErr_SetString(PyExc_TypeError, "an answer, a name or None, and its figures are noted");
        return NULL;
    }
    for (int i = 0; i < self->width; i++) {
        figures[i] = PyFloat_AsDouble(arguments[2 + i]);
        if (figures[i] == -1.0 && PyErr_Occurred())
            return NULL;
    }
    PyObject *ending = ending_for(self, arguments[1]);
    if (ending == NULL)
        return NULL;
    if ((self->count == 0 && !called(self->begun)) || (self->count == MOST && !called(self->full)))
        goto failed;
    if (self->count == MOST) {
        PyErr_SetString(PyExc_RuntimeError, "nobody took what was noted");
        goto failed;
    }
    memcpy(self->figures + self->count * self->width, figures,
           (size_t)self->width * sizeof(double));
    self->answers[self->count++] = Py_NewRef(arguments[0]);
    if (ending != self->unnamed) {
        Py_ssize_t length = PyBytes_GET_SIZE(ending) - BEFORE - AFTER;
        memcpy(self->names + self->size, PyBytes_AS_STRING(ending) + BEFORE, (size_t)length);
        self->size += length;
    }
    self->names[self->size++] = '\n';
    return ending;
failed:
    Py_DECREF(ending);
    return NULL;
}

static PyObject *
take(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    Journal *self = (Journal *)object;
    int count = self->count;
    PyObject *answers = PyList_New(count);
    Py_ssize_t size = (Py_ssize_t)sizeof(double) * count * self->width;
    PyObject *figures = PyBytes_FromStringAndSize((const char *)self->figures, size);
    PyObject *names = PyBytes_FromStringAndSize(self->names, self->size);
    PyObject *all = NULL;
    if (answers != NULL && figures != NULL && names != NULL)
        all = PyTuple_Pack(3, answers, figures, names);
    if (all != NULL && count != self->count) { /* room was made for it, by Python code */
        Py_CLEAR(all);
        PyErr_SetString(PyExc_RuntimeError, "answers were noted while they were taken");
    }
    if (all != NULL) {
        for (int i = 0; i < count; i++)
            PyList_SET_ITEM(answers, i, self->answers[i]);
        self->count = 0;
        self->size = 0;
    }
    Py_XDECREF(answers);
    Py_XDECREF(figures);
    Py_XDECREF(names);
    return all;
}

static PyObject *
create(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"begun", "full", "make", "figures", NULL};
    PyObject *begun, *full, *make;
    int width;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "$OOOi:Journal", names, &begun, &full,
                                     &make, &width))
        return NULL;
    if (width < 1 || width > MOST_FIGURES) {
        PyErr_SetString(PyExc_ValueError, "there is no room for so many figures");
        return NULL;
    }
    Journal *self = (Journal *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->begun = Py_NewRef(begun);
    self->full = Py_NewRef(full);
    self->make = Py_NewRef(make);
    self->width = width;
    self->unnamed = PyBytes_FromString("\r\n");
    if (self->unnamed == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
traverse(PyObject *object, visitproc visit, void *arg)
{
    Journal *self = (Journal *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->begun);
    Py_VISIT(self->full);
    Py_VISIT(self->make);
    for (int i = 0; i < self->count; i++)
        Py_VISIT(self->answers[i]);
    return 0;
}

static int
clear(PyObject *object)
{
    Journal *self = (Journal *)object;
    Py_CLEAR(self->begun);
    Py_CLEAR(self->full);
    Py_CLEAR(self->make);
    while (self->count > 0) {
        self->count--;
        Py_CLEAR(self->answers[self->count]);
    }
    self->size = 0;
    return 0;
}

static void
destroy(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    Py_XDECREF(((Journal *)object)->unnamed);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"note", (PyCFunction)(void (*)(void))note, METH_FASTCALL, NULL},
    {"take", take, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Journal(*, begun, full, make, figures): see proxy.journal."},
    {Py_tp_new, create},
    {Py_tp_dealloc, destroy},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "proxy._journal.Journal",
    .basicsize = sizeof(Journal),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

/* Times as text. */

#define STAMP 24 /* 2026-01-01T12:00:00.250Z */

typedef struct {
    long long second;
    char text[64];
} Clock;

/* Write the time, cut to milliseconds; 0 with an exception set where there is no such date. */
static int
set(Clock *clock, double at)
{
    double whole = floor(at);
    if (!(whole >= 0 && whole < 253402300800.0)) { /* before the year 10000 */
        PyErr_SetString(PyExc_ValueError, "no time of this era");
        return 0;
    }
    long long second = (long long)whole;
    if (second != clock->second) {
        time_t seconds = (time_t)second;
        struct tm date;
        gmtime_r(&seconds, &date);
        snprintf(clock->text, sizeof clock->text, "%04d-%02d-%02dT%02d:%02d:%02d.000Z",
                 date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min,
                 date.tm_sec);
        clock->second = second;
    }
    int milliseconds = (int)((at - whole) * 1000);
    clock->text[20] = (char)('0' + milliseconds / 100);
    clock->text[21] = (char)('0' + milliseconds / 10 % 10);
    clock->text[22] = (char)('0' + milliseconds % 10);
    return 1;
}

/* Lines. */

typedef struct {
    PyObject **lines;  /* of each hit, a tuple of three pieces */
    const char *times; /* doubles, which may lie anywhere */
    const char *names; /* each with a newline behind it */
    Py_ssize_t extent; /* of the names */
    Py_ssize_t number; /* of lines */
    Py_ssize_t size;   /* of all of them */
} Told;

/* The line of a hit, a new reference: its own, or one that is made now. */
static PyObject *
line_of(PyObject *hit, PyObject *attribute, PyObject *make)
{
    PyObject *line = PyObject_GetAttr(hit, attribute);
    if (line == Py_None) {
        Py_DECREF(line);
        line = PyObject_CallOneArg(make, hit);
    }
    if (line == NULL)
        return NULL;
    if (PyTuple_Check(line) && PyTuple_GET_SIZE(line) == 3 && PyBytes_Check(PyTuple_GET_ITEM(line, 0))
        && PyBytes_Check(PyTuple_GET_ITEM(line, 1)) && PyBytes_Check(PyTuple_GET_ITEM(line, 2)))
        return line;
    PyErr_SetString(PyExc_TypeError, "a line is three pieces, as bytes");
    Py_DECREF(line);
    return NULL;
}

/* Have these bytes brought near while others are looked at. */
static void
fetch(PyObject *bytes)
{
#ifdef __GNUC__
    const char *at = PyBytes_AS_STRING(bytes), *end = at + PyBytes_GET_SIZE(bytes);
    for (; at < end; at += 64)
        __builtin_prefetch(at);
#else
    (void)bytes;
#endif
}

static char *
put(char *to, const char *text, Py_ssize_t length)
{
    memcpy(to, text, (size_t)length);
    return to + length;
}

static char *
put_piece(char *to, PyObject *line, int i)
{
    PyObject *piece = PyTuple_GET_ITEM(line, i);
    return put(to, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece));
}

/* All lines as one; NULL with an exception set. */
static PyObject *
written(const Told *told)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, told->size);
    if (result == NULL)
        return NULL;
    Clock clock = {-1, ""};
    char *to = PyBytes_AS_STRING(result);
    const char *name = told->names, *last = name + told->extent;
    for (Py_ssize_t i = 0; i < told->number; i++) {
        double at;
        memcpy(&at, told->times + i * (Py_ssize_t)sizeof at, sizeof at);
        if (!set(&clock, at)) {
            Py_DECREF(result);
            return NULL;
        }
        const char *end = memchr(name, '\n', (size_t)(last - name));
        to = put_piece(to, told->lines[i], 0);
        to = put(to, clock.text, STAMP);
        to = put_piece(to, told->lines[i], 1);
        to = put(to, name, end - name);
        to = put_piece(to, told->lines[i], 2);
        name = end + 1;
    }
    return result;
}

static int
is_whole(const Told *told, PyObject *times)
{
    Py_ssize_t newlines = 0;
    for (Py_ssize_t i = 0; i < told->extent; i++)
        newlines += told->names[i] == '\n';
    int ended = told->extent == 0 || told->names[told->extent - 1] == '\n';
    return ended && newlines == told->number
           && PyBytes_GET_SIZE(times) == told->number * (Py_ssize_t)sizeof(double);
}

static PyObject *
lines(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4 || !PyList_Check(arguments[0]) || !PyBytes_Check(arguments[1])
        || !PyBytes_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "hits, times, names, and what makes lines");
        return NULL;
    }
    /* What makes a line is Python: it might change a list. */
    PyObject *hits = PySequence_Tuple(arguments[0]), *times = arguments[1], *names = arguments[2];
    if (hits == NULL)
        return NULL;
    Told told = {NULL, PyBytes_AS_STRING(times), PyBytes_AS_STRING(names),
                 PyBytes_GET_SIZE(names), 0, 0};
    PyObject *attribute = *(PyObject **)PyModule_GetState(module);
    PyObject *result = NULL;
    Py_ssize_t number = PyTuple_GET_SIZE(hits);
    told.lines = PyMem_New(PyObject *, number ? number : 1);
    if (told.lines == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    while (told.number < number) {
        PyObject *line = line_of(PyTuple_GET_ITEM(hits, told.number), attribute, arguments[3]);
        if (line == NULL)
            goto done;
        told.lines[told.number++] = line;
        told.size += STAMP;
        fetch(PyTuple_GET_ITEM(line, 1));
        for (int i = 0; i < 3; i++)
            told.size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(line, i));
    }
    told.size += told.extent - number; /* without the newlines */
    if (is_whole(&told, times))
        result = written(&told);
    else
        PyErr_SetString(PyExc_ValueError, "as many times and names as hits");
done:
    while (told.number > 0)
        Py_DECREF(told.lines[--told.number]);
    PyMem_Free(told.lines);
    Py_DECREF(hits);
    return result;
}

static int
execute(PyObject *module)
{
    fill_table();
    PyObject **name = PyModule_GetState(module);
    *name = PyUnicode_InternFromString("line");
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    int done = *name == NULL || type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return done;
}

static void
forget(void *module)
{
    Py_CLEAR(*(PyObject **)PyModule_GetState((PyObject *)module));
}

static PyMethodDef functions[] = {
    {"lines", (PyCFunction)(void (*)(void))lines, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_journal",
    .m_doc = "See proxy.journal.",
    .m_size = sizeof(PyObject *),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_free = forget,
};

PyMODINIT_FUNC
PyInit__journal(void)
{
    return PyModuleDef_Init(&definition);
}
